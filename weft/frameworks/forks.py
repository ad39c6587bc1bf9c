"""Requests that a framework makes side by side, told to the scheduler as one fan-out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from anyio.lowlevel import checkpoint

from weft.concurrency import now
from weft.orchestrator.programs.group import CallGroup
from weft.programs.scope import Scope

_TURNS = 10
"""Turns of the event loop in which the others may come that begin at the same moment."""


class Forks:
    """The forks of all programs whose requests come this way.

    Frameworks do not say how many branches they begin. Branches that begin together ask within a
    few turns of the event loop, so each request waits that long. One that comes while others of
    its program are under way is a branch more: the fork grows.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, str | None], _Fork] = {}

    @asynccontextmanager
    async def branch(self, scope: Scope) -> AsyncGenerator[Scope]:
        """A request of a program for the time of a block; gives the scope in it."""
        if scope.program is None:  # what goes on outside any run need not belong together
            yield scope
            return
        place = scope.journal.name, scope.id
        fork = self._open.setdefault(place, _Fork(scope))
        fork.begin()
        try:
            for _ in range(_TURNS):
                await checkpoint()
            yield fork.scope(scope)
            fork.group.ended += 1
        finally:
            if fork.end():
                del self._open[place]


class _Fork:
    def __init__(self, scope: Scope) -> None:
        self.group = CallGroup(0, 0, outer=scope.group)
        self._journal, self._running, self._id = scope.journal, 0, ""

    def begin(self) -> None:
        self.group.width += 1
        self.group.quorum = self.group.width
        self._running += 1

    def scope(self, scope: Scope) -> Scope:
        group = self.group
        if group.width == 1:
            return scope
        if not self._id:
            self._id = self._journal.begin(
                "fan_out", scope.id, width=group.width, name=None, uses=[]
            )
        return scope.inside(self._id, "", scope.doing).of_group(self._running, group)

    def end(self) -> bool:
        """One branch less; whether it was the last."""
        self._running -= 1
        if self._running:
            return False
        if self._id:
            left, ended = now() - self._journal.started, self.group.ended
            more: dict[str, Any] = {"left": left} if ended else {}
            became = "done" if ended else "cancelled"
            self._journal.note(became, self._id, ended=ended, width=self.group.width, **more)
        return True
