"""The scheduler: every call waits here until an engine can really start it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import anyio

from weft.backends.engine import Engine
from weft.backends.timeline import Timeline
from weft.concurrency import signal
from weft.errors import EngineError, EngineUnavailable
from weft.orchestrator.attempts.attempts import Attempts, send_unscheduled
from weft.orchestrator.attempts.engine_watch import EngineWatch
from weft.orchestrator.attempts.followed import FollowedCall, Follower
from weft.orchestrator.attempts.health import Health
from weft.orchestrator.call import Call
from weft.orchestrator.causes.cause import Missed
from weft.orchestrator.decisions.decision import Observe
from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.orchestrator.dispatch.dispatcher import Dispatcher
from weft.orchestrator.dispatch.guards.standstill_guard import STANDSTILL
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.residents import Ended
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.estimates.speed import KnownSpeeds
from weft.orchestrator.policy import Policy
from weft.orchestrator.programs.program import Program, ToolWait
from weft.orchestrator.restore import CachedChain, SchedulingState, restore, save

T = TypeVar("T")
OUTAGE = 10.0
"""Seconds that calls wait, by default, for an engine to come back when none is left."""

LEASE = 600.0
"""Seconds that a program which does nothing is remembered, by default."""


class Scheduler:
    """Binds waiting calls to engines, late: when one has room and the policy says so.

    Args:
        engines: connected engines.
        policy: decides.
        profiles: what is known of programs; empty by default.
        timeline: where timers go; `watch` drives the scheduler's own if none is given.
        lease: seconds that a program which does nothing is remembered.
        observe: told of every decision.
        ended: told of programs that end, and why.
        check: seconds between questions to each engine whether it is well; by default an
            engine is only asked when it has failed a call.
        outage: seconds that calls wait for an engine to come back when none is left, while
            `watch` runs.
        standstill: seconds after which calls that a policy keeps out of idle engines start all
            the same; None for never.
        missed: told why prompts were not cached; cheaper than `observe`, which hears of it too.
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
        ended: Ended | None = None,
        check: float | None = None,
        outage: float = OUTAGE,
        standstill: float | None = STANDSTILL,
        missed: Missed | None = None,
    ) -> None:
        self._outage = outage
        self.speeds = KnownSpeeds()
        self.replicas = [self._replica(engine) for engine in engines]
        self.changes = 0
        """How often engines came or went."""
        self.policy = policy
        self.profiles = profiles if profiles is not None else Profiles()
        self.clock = _loop_clock()
        self._own_timeline = timeline is None
        self._timeline = timeline or Timeline()
        self.dispatcher = Dispatcher(
            self.replicas,
            policy,
            self.profiles,
            self.clock,
            self._timeline.at,
            lease,
            observe,
            ended,
            standstill,
            missed,
        )
        self.health = Health(self.dispatcher, check=check)
        self._engine_watch = EngineWatch(self.health)

    @property
    def waiting(self) -> int:
        """How many calls wait for an engine."""
        waiting = 0
        for fleet in self.dispatcher.fleets.values():
            waiting += fleet.waiting
        return waiting

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
        """A program, for the time of the block; so long it is known, whatever its lease."""
        known = self.begin(program)
        known.in_block = True
        try:
            yield known
        finally:
            self.end(program.id)

    def wait(self, program: str, tool: str, expects: float | None = None) -> ToolWait | None:
        """A program begins to wait for a tool; `end_wait` must be told of the end.

        Args:
            program: its id.
            tool: its name.
            expects: seconds that it may take, if the program says so.

        Returns:
            what `end_wait` wants; None if the program is not known.
        """
        known = self.dispatcher.programs.get(program)
        return None if known is None else self.dispatcher.residents.wait(known, tool, expects)

    def end_wait(self, program: str, wait: ToolWait, *, whole: bool = True) -> None:
        """A program has waited for a tool, announced by `wait` or not.

        Args:
            program: its id.
            wait: for what, and since when.
            whole: whether the tool came to its end, so that its time can be learned.
        """
        known = self.dispatcher.programs.get(program)
        if known is not None:
            self.dispatcher.residents.end_wait(known, wait, whole)

    def submit(self, call: Call, earlier: Ticket | None = None) -> Ticket:
        """Take a call in; `bind` must be awaited unless the ticket has a `replica` at once.

        Args:
            call: what is to run.
            earlier: the attempt before, whose place in the queue this one has.

        Raises:
            EngineUnavailable: no engine that serves the model is left.
            ContextExceeded: no engine can hold the prompt.
        """
        return self.dispatcher.submit(call, _wake_nobody, earlier)

    async def bind(self, ticket: Ticket) -> None:
        """Wait until an engine can start a call; `finish` must be told of its end then.

        Whoever waits no more must `drop` the ticket, as `Attempts` does.

        Raises:
            EngineUnavailable: no engine that serves the model is left.
        """
        if ticket.queue is not None:
            await self.until_bound(ticket)
        self.check_bound(ticket)

    def until_bound(self, ticket: Ticket) -> Awaitable[None]:
        """What is to be awaited until a call that waits is bound, or no engine is left for it.

        With `check_bound` it is `bind` without a coroutine of its own: of calls that wait there
        may be thousands.
        """
        ticket.wake, woken = signal()
        return woken

    def check_bound(self, ticket: Ticket) -> None:
        """See that a call which has waited is bound.

        Raises:
            EngineUnavailable: no engine that serves the model is left.
        """
        if ticket.replica is None:
            raise self.away(ticket.call.request.model, ticket.call.only)

    def drop(self, ticket: Ticket) -> None:
        """A call is not wanted any more before it is sent, be it bound meanwhile or not."""
        if ticket.replica is None:
            self.dispatcher.leave(ticket)
        elif ticket.hold is not None:
            self.dispatcher.finish(ticket, (), 0, None, done=False)

    def finish(
        self,
        ticket: Ticket,
        answer: Sequence[int] = (),
        tokens: int = 0,
        cached: int | None = None,
        done: bool = False,
        *,
        again: bool = False,
    ) -> None:
        """A bound call has ended; the arguments are those of `Dispatcher.finish`."""
        if done and ticket.replica is not None:
            self.health.note_success(ticket.replica)
        self.dispatcher.finish(ticket, answer, tokens, cached, done, again)

    def run(
        self, call: Call, follower: Follower, bound: Ticket | None = None
    ) -> Coroutine[Any, Any, Ticket]:
        """Run a call to its end; engines that fail are replaced as `Attempts` says.

        Cancelling the surrounding scope takes the call out of the queue, or aborts it in its
        engine.

        Args:
            call: what is to run.
            follower: is told of all that comes.
            bound: the call's ticket, if an engine can start the call at once.

        Returns:
            the ticket, with the reasons for what was done with it.

        Raises:
            EngineUnavailable: no engine that serves the model is left, or several died.
            EngineBusy: the engines stayed busy for too long.
            RequestFailed: engines failed at the request.
            ContextExceeded: no engine can hold the prompt.
            EngineError: the engine refused the request.
        """
        return Attempts(self, call, FollowedCall(self, call, follower)).run(bound)

    def engines_of(self, model: str) -> list[Replica]:
        """The engines of a model that are in service."""
        fleet = self.dispatcher.fleets.get(model)
        return list(fleet.living) if fleet is not None else []

    def away(self, model: str, only: Sequence[str] = ()) -> EngineUnavailable:
        """The error where no engine of a model is left, or none of some."""
        return self.dispatcher.roster.no_engine(self.dispatcher.fleets[model], *only)

    def opens(self, call: Call, but: Sequence[Replica]) -> float | None:
        """Seconds until an engine that is none of these takes a call; None if there is none."""
        now = self.clock()
        able = self.dispatcher.fleets[call.request.model].living_for(call)
        return min((r.gate.shut_for(now) for r in able if r not in but), default=None)

    async def await_engine(self, model: str) -> None:
        """Wait until an engine of a model is in service.

        Raises:
            EngineUnavailable: none is, and none came back in time.
        """
        fleet = self.dispatcher.fleets[model]
        while not fleet.living:
            if not self.dispatcher.roster.expected(fleet):
                raise self.dispatcher.roster.no_engine(fleet)
            change = anyio.Event()
            fleet.watchers.append(change.set)
            await change.wait()

    # What the service sees of it

    @property
    def counters(self) -> DispatchCounters:
        """How often what was decided."""
        return self.dispatcher.counters

    def knows(self, program: str) -> bool:
        """Whether a program is known: it was announced, or has called, and is not forgotten."""
        return program in self.dispatcher.programs

    def all_of(self, model: str) -> Sequence[Replica]:
        """All engines of a model, in service or not."""
        fleet = self.dispatcher.fleets.get(model)
        return fleet.replicas if fleet is not None else ()

    def by_model(self) -> dict[str, Sequence[Replica]]:
        """All engines of each model that has any, in service or not."""
        fleets = self.dispatcher.fleets.items()
        return {model: fleet.replicas for model, fleet in fleets if fleet.replicas}

    def note_begun(self, ticket: Ticket) -> None:
        """A call's engine begins to answer."""
        self.dispatcher.gatekeeper.note_begun(ticket)
        if self.dispatcher.misses is not None:
            self.dispatcher.misses.begun(ticket)

    def note_used_up(self, ticket: Ticket, seconds: float) -> None:
        """A call's engine says that its limits are used up, for so many seconds."""
        self.dispatcher.gatekeeper.note_used_up(ticket, seconds)

    async def check(self, replica: Replica, error: EngineError) -> bool:
        """Whether an engine that failed is out of service, as `Health.check` finds out."""
        return await self.health.check(replica, error)

    async def send_unscheduled(
        self, replicas: Sequence[Replica], send: Callable[[Replica], Awaitable[T]]
    ) -> T:
        """Send a request that generates nothing; see `attempts.send_unscheduled`."""
        return await send_unscheduled(self.health, replicas, send)

    def drain(self, replica: Replica, draining: bool = True) -> None:
        """Give an engine no new programs, or again."""
        self.dispatcher.roster.drain(replica, draining)

    def save(self, program: str, lease: float) -> SchedulingState | None:
        """What is to be known of a program after a restart; None if it is not known."""
        return save(self.dispatcher, program, lease)

    def restore(self, saved: Iterable[tuple[SchedulingState, CachedChain | None]]) -> None:
        """Take up programs of before a restart; see `restore.restore`."""
        restore(self.dispatcher, saved)

    def add(self, engine: Engine) -> Replica:
        """Take in a connected engine while calls run."""
        replica = self._replica(engine)
        self.changes += 1
        self.replicas.append(replica)
        self.dispatcher.roster.add(replica)
        self._engine_watch.add(replica)
        return replica

    def _replica(self, engine: Engine) -> Replica:
        return Replica(engine, self.speeds.of(engine.name, engine.model))

    def remove(self, replica: Replica) -> None:
        """Let an engine go while calls run: those that run there run on, none follows."""
        self.changes += 1
        self.replicas.remove(replica)
        for orphan in self.dispatcher.roster.remove(replica):
            orphan.wake()
        self._engine_watch.remove(replica)

    async def watch(self, interval: float = 1.0) -> None:
        """Drive timers, follow caches, watch over engines' health; until cancelled.

        Args:
            interval: seconds between questions to an engine that is out of service.
        """
        self.health.interval = interval
        self.dispatcher.roster.patience = self._outage
        async with self._timeline if self._own_timeline else nullcontext():
            await self._engine_watch.run(self.replicas)


def _loop_clock() -> Callable[[], float]:
    """The clock of anyio, for asyncio without anyio's search for the loop."""
    try:
        return asyncio.get_running_loop().time
    except RuntimeError:
        return anyio.current_time


def _wake_nobody() -> None:
    """Of a call for which nobody waits yet."""
