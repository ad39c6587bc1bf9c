"""A call of a program as `Attempts` sends it: counted, followed, learned from."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

import anyio

from weft.errors import RequestFailed
from weft.faults import blaming
from weft.orchestrator.attempts import Ending
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.types import Delta

if TYPE_CHECKING:
    from weft.orchestrator.scheduler import Scheduler


class Follower(Protocol):
    """Follows a call: it is told of every engine that tries it, and of what comes."""

    def on_sent(self, ticket: Ticket) -> None:
        """The call goes to `ticket.engine`; what an earlier one produced is void."""

    def on_delta(self, delta: Delta) -> None:
        """The engine produced something."""


class FollowedCall:
    """A call of a program as `Attempts` sends it: counted, followed, learned from."""

    __slots__ = (
        "_begun",
        "_cached",
        "_call",
        "_clock",
        "_count",
        "_done",
        "_first",
        "_follower",
        "_scheduler",
        "_sent",
        "_ticket",
        "_tokens",
    )
    begun = False

    def __init__(self, scheduler: Scheduler, call: Call, follower: Follower) -> None:
        self._scheduler, self._call, self._follower = scheduler, call, follower
        self._clock = scheduler.clock

    def wait(self, ticket: Ticket, seconds: float) -> Awaitable[None]:
        """See `Attempt`."""
        return anyio.sleep(seconds) if seconds else self._scheduler.bind(ticket)

    async def send(self, ticket: Ticket) -> None:
        """See `Attempt`."""
        self._ticket = ticket
        self._first = 0.0
        self._sent = self._clock()
        self._tokens: list[int] = []
        self._count = 0
        self._begun = False
        self._cached: int | None = None
        self._done = False
        self._follower.on_sent(ticket)
        assert ticket.replica is not None
        engine = ticket.replica.engine
        with blaming("engine", type(engine)):
            await engine.complete(self._call.request, self._delta)
        if not self._done:
            raise RequestFailed(f"{ticket.engine} ended an answer without saying why; try again")
        ticket.replica.learn(
            ticket,
            self._cached,
            self._count,
            self._first - self._sent,
            self._clock() - self._first,
        )

    def ending(self) -> Ending:
        """See `Attempt`."""
        return self._tokens, self._count, self._cached, self._done

    def _delta(self, delta: Delta) -> None:
        if not self._begun:
            self._begun = True
            self._scheduler.note_begun(self._ticket)
            if delta.rest is not None:
                self._scheduler.note_used_up(self._ticket, delta.rest)
        if not self._count:
            self._first = self._clock()
        self._count += delta.count
        self._tokens += delta.tokens
        if delta.finish_reason is not None:
            self._cached, self._done = delta.cached_tokens, True
        self._follower.on_delta(delta)
