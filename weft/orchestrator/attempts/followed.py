"""A call of a program as `Attempts` sends it: counted, followed, learned from."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import anyio

from weft.backends.checks import check_delta, is_users
from weft.errors import ContextExceeded, EngineBusy, RequestFailed, RequestRejected
from weft.orchestrator.attempts.attempts import Ending
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.parts.faults import blame
from weft.types import Delta

if TYPE_CHECKING:
    from weft.orchestrator.scheduler import Scheduler


_SLACK, _FEW = 4, 256
"""How far an answer may go beyond its limit before it is taken for endless: tokens of text are
estimates, and some endpoints do not count as they are asked."""


class Follower(Protocol):
    """Follows a call: it is told of every engine that tries it, and of what comes."""

    def on_sent(self, ticket: Ticket) -> None:
        """The call goes to `ticket.engine`; what an earlier one produced is void."""

    def on_delta(self, delta: Delta) -> None:
        """The engine produced something."""

    def on_refused(self) -> None:
        """The engine turned the call down, and has done nothing for it."""


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
        "_most",
        "_scheduler",
        "_sent",
        "_ticket",
        "_tokens",
        "_written",
    )
    begun = False

    def __init__(self, scheduler: Scheduler, call: Call, follower: Follower) -> None:
        self._scheduler, self._call, self._follower = scheduler, call, follower
        self._clock = scheduler.clock

    def wait(self, ticket: Ticket, seconds: float) -> Awaitable[None]:
        """See `Attempt`."""
        return anyio.sleep(seconds) if seconds else self._scheduler.until_bound(ticket)

    async def send(self, ticket: Ticket) -> None:
        """See `Attempt`."""
        self._ticket = ticket
        self._first = 0.0
        self._sent = self._clock()
        self._tokens: list[int] = []
        self._count = self._written = 0
        self._begun = False
        self._cached: int | None = None
        self._done = False
        self._follower.on_sent(ticket)
        assert ticket.replica is not None
        engine = ticket.replica.engine
        most = self._call.limit or engine.context
        self._most = _SLACK * most + _FEW if most is not None else math.inf
        tell = self._checked_delta if is_users(engine) else self._delta
        request, keep = self._call.request, ticket.replica.keep(ticket, lost=ticket.siblings > 1)
        if keep is not None:
            request = replace(request, keep=keep)
        try:
            try:
                await engine.complete(request, tell)
            except BaseException as error:
                blame("engine", type(engine), error)
                raise
        except (EngineBusy, RequestRejected, ContextExceeded):
            if not self._begun:
                self._follower.on_refused()
            raise
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

    def _checked_delta(self, delta: Delta) -> None:
        check_delta(delta, self._count)
        self._delta(delta)

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
        if delta.text:
            self._written += delta.count
            if self._written > self._most:
                raise RequestFailed(
                    f"{self._ticket.engine} goes on long beyond the answer's limit of tokens"
                )
        if delta.finish_reason is not None:
            self._cached, self._done = delta.cached_tokens, True
        self._follower.on_delta(delta)
