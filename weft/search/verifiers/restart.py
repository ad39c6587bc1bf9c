"""restart: the model itself is asked whether beginning again would give a better answer."""

from __future__ import annotations

from weft.parts.parameters import param
from weft.search.strategy import Question
from weft.search.verifiers.verdicts import ask_verdict
from weft.search.verifiers.verifier import Confidence, Verifier, verifier

PROBE = (
    "Would you do better if you began your answer to the last question again? "
    "Answer with yes or no alone."
)


@verifier("restart")
class RestartVerifier(Verifier):
    """P(no) of the model that is asked, behind its answer, whether to begin again (Manvi 2024).

    The score is P(no) / (P(yes) + P(no)); 0.5 where the model gives neither any probability. In
    the paper the model is trained for the question. Of a model that is not, the score orders
    answers only as well as the model knows its own mistakes.
    """

    role: str = param("solver", "who is asked")

    @property
    def asks(self) -> str:
        """`role`."""
        return self.role

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """Ask the model."""
        asked = question.prompt.assistant(text).user(PROBE)
        return 1 - (await ask_verdict(asked, self.role)).score
