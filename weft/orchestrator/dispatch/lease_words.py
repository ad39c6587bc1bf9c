"""LeaseWords: what an engine with leases is to be told of the programs that it serves."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from weft.leases.directive import Directive
from weft.orchestrator.programs.program import Program

if TYPE_CHECKING:
    from weft.orchestrator.estimates.profiles import Profiles

_SCHEDULER = uuid.uuid4().hex[:8]
"""Sets apart the programs of this process from those of others that share an engine."""
_SECONDS = 600.0
"""How long a lease holds of which nothing more is said: as long as a silent program is known."""
_MOST = 256
"""Ends of leases that are told at once; the time of others ends them."""


class LeaseWords:
    """Words ride on calls: what an engine holds matters only when a call needs room.

    A program's call asks that what it leaves behind be kept until the program is over, or its room
    was given away. What the scheduler decided since is told with the next call, whose ever it is.
    """

    def __init__(self) -> None:
        self._release: dict[str, None] = {}
        self._forget: dict[str, None] = {}

    def release(self, program: Program) -> None:
        """A program's room is given away: what it left there is forgotten by age."""
        self._tell(self._release, program)

    def forget(self, program: Program) -> None:
        """A program is over: what it left there is forgotten first."""
        self._release.pop(_lease(program), None)
        self._tell(self._forget, program)

    def said(self, program: Program, turn: str, profiles: Profiles, *, lost: bool) -> Directive:
        """What a call says.

        Args:
            program: whose call it is.
            turn: id of the call.
            profiles: say when the program's next call is to be expected.
            lost: whether the call is of no use if it is broken off.
        """
        program.branches = program.branches or program.running > 1
        self._release.pop(_lease(program), None)
        directive = Directive(
            _lease(program),
            supersedes=not program.branches,
            turn=turn,
            seconds=_SECONDS,
            next_use=profiles.away(program).quantile(0.5),
            tenant=program.tenant,
            lost=lost,
            release=tuple(self._release),
            forget=tuple(self._forget),
        )
        self._release.clear()
        self._forget.clear()
        return directive

    @staticmethod
    def _tell(told: dict[str, None], program: Program) -> None:
        if len(told) < _MOST:
            told[_lease(program)] = None


def _lease(program: Program) -> str:
    return f"{_SCHEDULER}:{program.id}"
