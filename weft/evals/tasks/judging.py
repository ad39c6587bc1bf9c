"""Scorers that ask a model: for open answers, which no reader can compare.

They wait in the thread in which an evaluation judges, while its event loop asks the model. What
judging costs is not counted as a strategy's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import ClassVar, TypeVar

import anyio.from_thread

from weft.errors import EngineError, PartFailed, UsageError
from weft.evals.tasks.scorer import Scorer, scorer
from weft.parts.parameters import param
from weft.search.judges import criteria, judged, prefer, rubric_param

T = TypeVar("T")


def asked(who: str, call: Callable[[], Awaitable[T]]) -> T:
    """What a call gives that the evaluation's event loop makes, while this thread judges.

    Args:
        who: asks, as the beginning of a sentence: `the scorer judged`.
        call: asks a model.

    Raises:
        UsageError: no evaluation is running.
        PartFailed: the model can't be asked.
    """

    async def judging() -> T:
        return await call()

    try:
        anyio.from_thread.run_sync(bool)
    except RuntimeError:
        raise UsageError(
            f"{who} asks a model, which it can only while an evaluation runs; take another scorer, "
            "or run the evaluation again"
        ) from None
    try:
        return anyio.from_thread.run(judging)
    except EngineError as e:
        raise PartFailed(f"{who} can't ask its model: {e}") from e


class JudgingScorer(Scorer):
    """Asks a model about an answer, once for each answer."""

    right_from: ClassVar[float | None] = 0.5

    @abstractmethod
    def asking(self, request: str, answer: str, right: str) -> Awaitable[float]:
        """The score of an answer, from 0 to 1."""

    @cached_property
    def _known(self) -> dict[tuple[str, str, str], float]:
        return {}

    def credit(self, answer: str, right: str) -> float:
        """What the model says without knowing the request."""
        return self.judge("", answer, right)

    def judge(self, request: str, answer: str, right: str) -> float:
        """What the model says.

        Raises:
            UsageError: no evaluation is running.
            PartFailed: the model can't be asked.
        """
        key = request, answer, right
        if key not in self._known:
            self._known[key] = asked(f"the scorer {self.name}", lambda: self.asking(*key))
        return self._known[key]


@scorer("judged")
class JudgedScorer(JudgingScorer):
    """A model is asked whether an answer says the same as the right one; right from 0.5."""

    rubric: str = param("", "further criteria, with semicolons between them")
    role: str = param("verifier", "who is asked")

    def asking(self, request: str, answer: str, right: str) -> Awaitable[float]:
        """The mean of P(yes) over the criteria."""
        same = f"The answer says the same as this right answer: {right}"
        return judged(request, answer, [same, *criteria(self.rubric)], self.role)


@scorer("preferred")
class PreferredScorer(JudgingScorer):
    """A model is asked whether an answer is better than the right one, in both orders."""

    rubric: str = rubric_param()
    role: str = param("verifier", "who is asked")

    def asking(self, request: str, answer: str, right: str) -> Awaitable[float]:
        """How sure the model is that the answer is the better one; 0.5 of equals."""
        return prefer(request, answer, right, self.rubric, self.role)
