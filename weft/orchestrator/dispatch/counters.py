"""DispatchCounters: what a dispatcher has done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Question = Literal["admit", "order", "place", "retain"]
QUESTIONS: tuple[Question, ...] = ("admit", "order", "place", "retain")
"""The decisions that policies are asked for."""


def _none() -> dict[Question, int]:
    return dict.fromkeys(QUESTIONS, 0)


@dataclass(slots=True)
class DispatchCounters:
    """What a dispatcher has done.

    Attributes:
        decisions: made by its policy.
        unanswered: those of them that the policy failed to make, by which one it was.
        started: calls that were sent to an engine.
        forced: those of them that the policy refused, but that were overdue.
        revoked: claims taken from programs to make room.
        longest_wait: of a call, in seconds.
    """

    decisions: int = 0
    unanswered: dict[Question, int] = field(default_factory=_none)
    started: int = 0
    forced: int = 0
    revoked: int = 0
    longest_wait: float = 0.0
