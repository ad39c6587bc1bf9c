"""Verifiers: who scores an answer, and how.

    model       the model in the role `verifier` is asked the question's verify prompt; the
                score is P(yes) / (P(yes) + P(no))
    role:NAME   the same, asked of the model in another role
    function    the question's own exact check
    logprob     the generator's confidence: the geometric mean of its tokens' probabilities

Every score lies between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from weft.errors import UnknownName, Unsupported, UsageError
from weft.parameters import param
from weft.programs import Completion, node, score
from weft.search.strategy import Question
from weft.types import TokenLogprob

KINDS = ("model", "function", "logprob", "role:NAME")


@dataclass(frozen=True)
class Confidence:
    """Log-probabilities of a text's tokens, as far as they add up."""

    total: float = 0.0
    count: int = 0

    def plus(self, logprobs: Iterable[TokenLogprob]) -> Confidence:
        """With more tokens."""
        new = [t.logprob for t in logprobs]
        return Confidence(self.total + math.fsum(new), self.count + len(new))

    @property
    def score(self) -> float:
        """The exponential of the mean log-probability; 0 without tokens."""
        return math.exp(min(0.0, self.total / self.count)) if self.count else 0.0


NO_TOKENS = Confidence()


@dataclass(frozen=True)
class Verifier:
    """Scores texts as answers to a question.

    Attributes:
        kind: `model`, `function` or `logprob`.
        role: who is asked, if it is a model.
    """

    kind: str
    role: str = "verifier"

    @property
    def logprobs(self) -> int | None:
        """What `generate` must be asked to report for this verifier."""
        return 0 if self.kind == "logprob" else None

    def check(self, question: Question) -> None:
        """Raise unless the question has what this verifier needs.

        Raises:
            UsageError: it lacks a verify prompt, or an exact check.
        """
        if self.kind == "model" and question.verify is None:
            raise UsageError(
                "this task has no verify prompt; use verifier=function or verifier=logprob"
            )
        if self.kind == "function" and question.check is None:
            raise UsageError("this task has no exact check; use verifier=model or verifier=logprob")

    def check_reported(self, completion: Completion) -> None:
        """Raise unless an answer came with what this verifier reads.

        Raises:
            Unsupported: the engine reports no log-probabilities.
        """
        if self.logprobs is not None and "logprobs" in completion.missing:
            raise Unsupported(
                f"{completion.engine} reports no log-probabilities, which verifier={self.kind} "
                "needs; use another verifier, or an engine that reports them, such as vLLM"
            )

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """The score of a partial or whole answer, from 0 to 1.

        Args:
            question: what it answers.
            text: the answer so far.
            confidence: of the text's tokens; only `logprob` reads it.

        Raises:
            BudgetExceeded: the verifier's call ran into a budget.
        """
        self.check(question)
        if self.kind == "logprob":
            return confidence.score
        if self.kind == "function":
            assert question.check is not None
            return min(1.0, max(0.0, float(question.check(text))))
        return await verify(question, text, self.role)


@node
async def verify(question: Question, text: str, role: str) -> float:
    """Ask a model whether an answer is right: P(yes) / (P(yes) + P(no)).

    A model that gives neither any probability knows nothing: 0.5.
    """
    assert question.verify is not None
    found = await score(question.verify(text), ["yes", "no"], role=role)
    total = found["yes"] + found["no"]
    return found["yes"] / total if total > 0 else 0.5


def read_verifier(spec: str) -> Verifier:
    """The verifier that a spec names.

    Raises:
        UnknownName: there is no such verifier.
    """
    if spec.startswith("role:") and spec != "role:":
        return Verifier("model", spec.removeprefix("role:"))
    if spec not in KINDS or spec.startswith("role:"):
        raise UnknownName("verifier", spec, KINDS)
    return Verifier(spec)


def verifier_param() -> Any:
    """The parameter that names a verifier."""
    doc = "who scores: model, function, logprob or role:NAME"
    return param("model", doc, main=True, read=read_verifier)
