"""Scorer: how much of a right answer an answer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar, TypeVar, dataclass_transform

from weft.parts.faults import blaming, expect
from weft.parts.parameters import Parametric
from weft.parts.registry import PartRegistry


class Scorer(Parametric, ABC):
    """Gives partial credit to answers that are not right as a whole.

    Subclasses are marked with `@scorer(name)`, which makes them frozen dataclasses whose fields
    are their parameters.

    Attributes:
        right_from: the credit from which an answer is right, of scorers that decide that; of the
            others the reader decides.
    """

    right_from: ClassVar[float | None] = None

    @abstractmethod
    def credit(self, answer: str, right: str) -> float:
        """How much of the right answer an answer is, from 0 to 1; 1 makes it right.

        Args:
            answer: as the task's reader read it.
            right: a right answer, read by the same reader.
        """

    def judge(self, request: str, answer: str, right: str) -> float:
        """As `credit`, of scorers that must know what was asked for; by default `credit`.

        Args:
            request: the question.
            answer: of scorers with `right_from`, the whole text without thinking.
            right: a right answer.
        """
        return self.credit(answer, right)

    def __call__(self, answer: str, right: str, request: str = "") -> float:
        """What `judge` gives.

        Raises:
            PartFailed: the scorer's code raised an exception that is not weft's, or gave no
                number from 0 to 1.
        """
        with blaming("scorer", type(self)):
            given = float(expect(self.judge(request, answer, right), Real, "credit"))
            if not 0 <= given <= 1:
                raise ValueError(f"credit gave {given}, which is not from 0 to 1")
            return given


SCORERS = PartRegistry(
    "scorer",
    Scorer,
    mark="scorer",
    group="weft.scorers",
    own=["weft.evals.tasks.scorers", "weft.evals.tasks.judging"],
)
S = TypeVar("S", bound=type[Scorer])


@dataclass_transform(frozen_default=True)
def scorer(name: str) -> Callable[[S], S]:
    """Make a class a scorer that specs call `name`."""
    return SCORERS.mark_as(name)


def parse_scorer(spec: str | Mapping[str, Any] | Scorer) -> Scorer:
    """The scorer that a spec describes, such as `f1` or `mine.py:Mine`.

    Raises:
        UnknownName: there is no such scorer or parameter.
        UsageError: the text is malformed, or a value is not allowed.
    """
    return SCORERS.parse(spec)
