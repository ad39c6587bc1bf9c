"""Group: branches that a program announced together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class CallGroup:
    """A fan-out as the scheduler sees it: the same object for all of its calls.

    Policies only read it. The branches of a `fan_out`, the samples of `generate(n=...)` and the
    positions that `score` asks about at once are groups.

    Attributes:
        width: branches in all, those included that wait for others to end.
        quorum: how many of them are enough: the rest is cancelled then. `width`, unless the
            program says otherwise.
        ended: branches that have ended by now.
        outer: the group that this one's branch belongs to; None if there is none.
    """

    width: int
    quorum: int
    ended: int = 0
    outer: CallGroup | None = None
