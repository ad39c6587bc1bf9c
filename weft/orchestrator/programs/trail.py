"""Trail: the steps that a program has taken so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.orchestrator.programs.group import CallGroup

if TYPE_CHECKING:
    from weft.orchestrator.programs.program import Program

_MOST = 2000  # steps that are told apart; what comes later counts to the last


@dataclass(slots=True, eq=False)
class TrailStep:
    """A call of a stage, or the calls of a stage within one fan-out.

    Attributes:
        stage: the part of the program that calls.
        visit: how often the program has come to this stage, this time included.
        width: branches of the fan-out; 1 outside any.
        calls: calls begun.
        before: calls of the program that had ended when the step began.
        computed: `Program.computed` then.
        critical: `Program.critical` then.
        away: seconds for which the program had had no call before the step.
        tool: what it did meanwhile, as far as is known.
    """

    stage: str
    visit: int
    width: int
    calls: int
    before: int
    computed: int
    critical: float
    away: float
    tool: str


def outermost(program: Program, group: CallGroup | None) -> CallGroup | None:
    """Of the fan-outs that a program has begun, the one around all others that a call is in.

    The fan-out in which the program itself is a branch tells nothing of its own course.
    """
    if group is None or group is program.group:
        return None
    while group.outer is not None and group.outer is not program.group:
        group = group.outer
    return group


class Trail:
    """The steps of one program, from its first call on.

    Calls of one stage are one step if they are made in branches of the same fan-out; of nested
    fan-outs the outermost counts.

    Attributes:
        steps: in the order in which they began, those included that a Store answered.

    Args:
        kept: whether steps are taken note of; not of calls outside any program, which never end.
    """

    __slots__ = ("_beside", "_group", "_kept", "_visits", "steps")

    def __init__(self, *, kept: bool = True) -> None:
        self._kept = kept
        self.steps: list[TrailStep] = []
        self._visits: dict[str, int] = {}
        self._group: CallGroup | None = None
        self._beside: dict[str, TrailStep] = {}  # within `_group`

    @property
    def settled(self) -> bool:
        """Whether the last step's fan-out has the results that are enough."""
        return self._group is not None and self._group.ended >= self._group.quorum

    def call(self, program: Program, stage: str, group: CallGroup | None, away: float) -> None:
        """The program makes a call.

        Args:
            program: as it was before the call.
            stage: the part of it that calls.
            group: the fan-out that the call belongs to.
            away: seconds for which the program had no call before.
        """
        if not self._kept:
            return
        group = outermost(program, group)
        if group is not self._group:
            self._group, self._beside = group, {}
        step = self._beside.get(stage) if group is not None else None
        if step is None and len(self.steps) >= _MOST:
            step = self.steps[-1]
        if step is not None:
            step.calls += 1
            if group is not None:
                step.width = max(step.width, group.width)  # which may grow
            return
        self._visits[stage] = visit = self._visits.get(stage, 0) + 1
        step = TrailStep(
            stage,
            visit,
            group.width if group is not None else 1,
            1,
            program.calls,
            program.computed,
            program.critical,
            away,
            program.tool,
        )
        if group is not None:
            self._beside[stage] = step
        self.steps.append(step)
