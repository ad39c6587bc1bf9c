"""The scheduler: every call waits here until an engine can really start it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Protocol

import anyio

from weft.backends.engine import Engine
from weft.backends.timeline import Timeline
from weft.cache.kv_events import ReportedIndex
from weft.errors import EngineError, EngineUnavailable
from weft.orchestrator.call import Call
from weft.orchestrator.dispatcher import Dispatcher, Observe
from weft.orchestrator.policy import Policy
from weft.orchestrator.profiles import Profiles
from weft.orchestrator.program import Program
from weft.orchestrator.replica import Replica
from weft.orchestrator.ticket import Ticket
from weft.types import Delta

_log = logging.getLogger(__name__)
_ATTEMPTS = 3  # of one call, before its engines' deaths are the caller's problem
LEASE = 600.0
"""Seconds that a program which does nothing is remembered, by default."""


class Follower(Protocol):
    """Follows a call: it is told of every engine that tries it, and of what comes."""

    def sent(self, ticket: Ticket) -> None:
        """The call goes to `ticket.engine`; what an earlier one produced is void."""

    def delta(self, delta: Delta) -> None:
        """The engine produced something."""


class Scheduler:
    """Binds waiting calls to engines, late: when one has room and the policy says so.

    Args:
        engines: connected engines.
        policy: decides.
        profiles: what is known of programs; empty by default.
        timeline: where timers go; `watch` drives the scheduler's own if none is given.
        lease: seconds that a program which does nothing is remembered.
        observe: told of every decision.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        policy: Policy,
        *,
        profiles: Profiles | None = None,
        timeline: Timeline | None = None,
        lease: float = LEASE,
        observe: Observe | None = None,
    ) -> None:
        self.replicas = [Replica(engine) for engine in engines]
        self.policy = policy
        self.profiles = profiles if profiles is not None else Profiles()
        self._own_timeline = timeline is None
        self._timeline = timeline or Timeline()
        self._died = anyio.Event()
        self.dispatcher = Dispatcher(
            self.replicas,
            policy,
            self.profiles,
            anyio.current_time,
            self._timeline.at,
            lease,
            observe,
        )

    @property
    def waiting(self) -> int:
        """How many calls wait for an engine."""
        return sum(fleet.waiting for fleet in self.dispatcher.fleets.values())

    @property
    def in_flight(self) -> int:
        """How many calls run on engines."""
        return sum(r.in_flight for r in self.replicas)

    def begin(self, program: Program) -> Program:
        """Announce a program before its first call: its name, tenant, deadline, calls."""
        return self.dispatcher.begin(program)

    def end(self, program: str) -> None:
        """A program is over; its room is free."""
        self.dispatcher.end(program)

    @contextmanager
    def program(self, program: Program) -> Generator[Program]:
        """A program, for the time of the block."""
        try:
            yield self.begin(program)
        finally:
            self.end(program.id)

    async def run(self, call: Call, follower: Follower) -> Ticket:
        """Run a call to its end; it is tried elsewhere if its engine dies.

        Cancelling the surrounding scope takes the call out of the queue, or aborts it in its
        engine.

        Returns:
            the ticket, with the reasons for what was done with it.

        Raises:
            EngineUnavailable: no engine that serves the model is left, or several died.
            ContextExceeded: no engine can hold the prompt.
            EngineError: the engine refused the request.
        """
        failed: Ticket | None = None
        for attempt in range(1, _ATTEMPTS + 1):
            ready = anyio.Event()
            ticket = self.dispatcher.submit(call, ready.set, failed)
            try:
                await ready.wait()
            except BaseException:
                if ticket.replica is None:
                    self.dispatcher.leave(ticket)
                else:
                    self.dispatcher.finish(ticket, (), 0, None, done=False)
                raise
            replica = ticket.replica
            if replica is None:
                raise self.dispatcher.no_engine(self.dispatcher.fleets[call.request.model])
            tracked = _Tracked(ticket, follower)
            try:
                follower.sent(ticket)
                await replica.engine.complete(call.request, tracked.delta)
                tracked.learn()
                return ticket
            except EngineUnavailable as error:
                failed = ticket
                # First the engine's fate, then the room: nothing may be sent to a dead one.
                await self._examine(replica, error)
                if attempt == _ATTEMPTS:
                    raise
            finally:
                self.dispatcher.finish(
                    ticket, tracked.tokens, tracked.count, tracked.cached, tracked.done
                )
        raise AssertionError("unreachable")

    async def _examine(self, replica: Replica, error: EngineUnavailable) -> None:
        """Take an engine that failed a call out of service unless it answers."""
        if replica.alive and not await replica.engine.healthy() and replica.alive:
            for orphan in self.dispatcher.died(replica, error):
                orphan.wake()
            self._died.set()

    async def watch(self, interval: float = 1.0) -> None:
        """Drive timers, follow caches, bring engines back that answer again; until cancelled."""
        async with (
            self._timeline if self._own_timeline else nullcontext(),
            anyio.create_task_group() as group,
        ):
            for replica in self.replicas:
                group.start_soon(self._follow, replica)
            await self._revive(interval)

    async def _follow(self, replica: Replica) -> None:
        """Know the engine's prefix cache by its own reports, if it gives any."""
        index = replica.reported = ReportedIndex()
        try:
            await replica.engine.follow_cache(index)
        except EngineError as error:
            _log.warning("%s: cached prefixes are estimated instead: %s", replica.name, error)
        finally:
            replica.reported = None

    async def _revive(self, interval: float) -> None:
        while True:
            await self._died.wait()
            self._died = anyio.Event()
            while dead := [r for r in self.replicas if not r.alive]:
                await anyio.sleep(interval)
                for replica in dead:
                    if await replica.engine.healthy():
                        self.dispatcher.back(replica)


class _Tracked:
    """Counts what comes of a call, and learns its engine's speed from it."""

    def __init__(self, ticket: Ticket, follower: Follower) -> None:
        self._ticket, self._follower = ticket, follower
        self._first = 0.0
        self._sent = anyio.current_time()
        self.tokens: list[int] = []
        self.count = 0
        self.cached: int | None = None
        self.done = False

    def delta(self, delta: Delta) -> None:
        if not self.count:
            self._first = anyio.current_time()
        self.count += delta.count
        self.tokens += delta.tokens
        if delta.finish_reason is not None:
            self.cached, self.done = delta.cached_tokens, True
        self._follower.delta(delta)

    def learn(self) -> None:
        """Note how long the engine took."""
        replica, ticket = self._ticket.replica, self._ticket
        if replica is None or not self.done:
            return
        computed = ticket.prompt_tokens - (ticket.cached if self.cached is None else self.cached)
        replica.speed.prefilled(computed, self._first - self._sent, replica.in_flight)
        if self.count > 1:
            spent = anyio.current_time() - self._first
            replica.speed.decoded(self.count - 1, spent, replica.in_flight)
