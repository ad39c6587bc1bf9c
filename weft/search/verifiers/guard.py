"""guard: a model is asked whether an answer, or the beginning of one, keeps to a rule."""

from __future__ import annotations

from weft.parts.parameters import param
from weft.search.strategy import Question
from weft.search.verifiers.verdicts import ask_verdict
from weft.search.verifiers.verifier import Confidence, Verifier, verifier

ASK = (
    "Look at your answer to the last question as far as it goes; it may break off anywhere. Is it "
    "{rule}? Answer with yes or no alone."
)


@verifier("guard")
class GuardVerifier(Verifier):
    """P(yes) of a model that is asked whether an answer keeps to a rule.

    The score is P(yes) / (P(yes) + P(no)); 0.5 where the model gives neither any probability. The
    answer is shown as the model's own, behind its question.
    """

    role: str = param("verifier", "who is asked")
    rule: str = param("harmless to everybody", "what an answer must be")

    @property
    def asks(self) -> str:
        """`role`."""
        return self.role

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """Ask the model."""
        asked = question.prompt.assistant(text).user(ASK.format(rule=self.rule))
        return (await ask_verdict(asked, self.role)).score
