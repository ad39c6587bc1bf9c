"""Attempts: sends one request to engines until one has served it, or there is no point."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio

from weft.backends.retry import Waits
from weft.errors import EngineBusy, EngineError, EngineUnavailable, RequestFailed
from weft.orchestrator.attempts.health import Fault, Health
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket

if TYPE_CHECKING:
    from weft.orchestrator.scheduler import Scheduler

T = TypeVar("T")
RETRIES = 2
"""Further engines that a request is sent to when engines fail."""

Ending = tuple[Sequence[int], int, int | None, bool]
"""How an attempt ended: ids of the tokens generated, their number, tokens of the prompt that were
cached (None if unknown), and whether the answer came to its end."""


class Attempt(Protocol):
    """What attempts need to know of a request: how it is sent, and how one waits for it."""

    @property
    def begun(self) -> bool:
        """Whether what has come of the answer is out: no other engine can take over then."""
        ...

    def wait(self, ticket: Ticket, seconds: float) -> Awaitable[None]:
        """Wait for an engine.

        Args:
            ticket: await `Scheduler.until_bound` or `bind` for it, if `seconds` are 0.
            seconds: to be waited in place of that: an engine is busy.
        """
        ...

    async def send(self, ticket: Ticket) -> None:
        """Send it to the ticket's engine, to the end of the answer.

        Raises:
            EngineError: what failed.
        """
        ...

    def ending(self) -> Ending:
        """How the last `send` ended."""
        ...


class Attempts:
    """One request on its way over engines. The one place that decides what is sent again.

    - An engine that dies is replaced, up to `retries` times.
    - An engine that is well but failed at the request is replaced once: the request itself may be
      why, and would fail everywhere. If another engine then serves it, it was the engine.
    - A busy engine is asked again when it says, or another one at once, as its `retry` allows.
    - What is refused for a reason is the caller's to mend.

    However often it was sent, a request counts once for each engine.

    Args:
        scheduler: has the engines.
        call: as the scheduler is to see the request.
        request: how it is sent.
        earlier: a ticket whose place in the queue it takes.
        retries: further engines that it is sent to when engines fail; with 0 it is sent once,
            whatever happens.
    """

    __slots__ = ("_busy", "_call", "_earlier", "_fault", "_request", "_retries", "_scheduler")

    def __init__(
        self,
        scheduler: Scheduler,
        call: Call,
        request: Attempt,
        earlier: Ticket | None = None,
        retries: int = RETRIES,
    ) -> None:
        self._scheduler, self._call, self._request = scheduler, call, request
        self._earlier, self._retries = earlier, retries
        self._fault: Fault | None = None
        self._busy: BusyEngines | None = None

    async def run(self, bound: Ticket | None = None) -> Ticket:
        """Send the request until it is served. Cancelling aborts it wherever it is.

        Args:
            bound: the ticket of the first attempt, if an engine can start that at once.

        Returns:
            the ticket of the attempt that served it.

        Raises:
            EngineUnavailable: no engine is left, or too many died.
            EngineBusy: the engines stayed busy for too long.
            EngineError: what the last engine failed with.
        """
        scheduler, request = self._scheduler, self._request
        before: Ticket | None = None  # the attempt that another one is to follow
        try:
            while True:
                ticket = bound or scheduler.submit(self._call, before or self._earlier)
                bound, before, pause = None, None, 0.0
                if ticket.replica is None:
                    try:
                        await request.wait(ticket, 0.0)
                        scheduler.check_bound(ticket)
                    except BaseException:
                        scheduler.drop(ticket)  # it may have been bound just then
                        raise
                try:
                    await request.send(ticket)
                    break
                except EngineError as error:
                    # First the engine's fate, then the room: nothing may be sent to a dead one.
                    pause = await self._after(ticket, error)
                    before = ticket
                finally:
                    scheduler.finish(ticket, *request.ending(), again=before is ticket)
                if pause:
                    await request.wait(ticket, pause)
        except BaseException:
            if before is not None:
                scheduler.dispatcher.give_up(before)
            raise
        fault = self._fault
        if fault is not None and fault.replica is not ticket.replica and request.ending()[3]:
            scheduler.health.note_fault(fault)
        return ticket

    async def _after(self, ticket: Ticket, error: EngineError) -> float:
        """What follows an attempt that failed: seconds to wait before the next; or it raises."""
        replica, health = ticket.replica, self._scheduler.health
        assert replica is not None
        if isinstance(error, EngineBusy):
            # 503 is said by servers too that are about to end.
            ends = error.status == 503 and error.retry_after is None
            if not (ends and await health.check(replica, error)):
                return self._after_busy(ticket, replica, error)
        elif not isinstance(error, EngineUnavailable | RequestFailed):
            raise error
        elif not await health.check(replica, error):
            if self._fault is not None or replica.engine.retry.attempts == 1:
                raise error
            self._fault = Fault(replica, ticket.bound_at, self._scheduler.clock())
        if self._request.begun or not self._retries:
            raise error
        self._retries -= 1
        ticket.avoid = (*ticket.avoid, replica)
        return 0.0

    def _after_busy(self, ticket: Ticket, replica: Replica, error: EngineBusy) -> float:
        """The same where the engine is busy: another one now, or the first that has time again."""
        scheduler, now = self._scheduler, self._scheduler.clock()
        if self._busy is None:
            self._busy = BusyEngines()
        spent = replica in self._busy.spent
        scheduler.dispatcher.gatekeeper.note_busy(
            ticket, self._busy.note(replica, error.retry_after, now)
        )
        if self._request.begun or not self._retries or spent:
            raise error
        suspect = () if self._fault is None else (self._fault.replica,)
        ticket.avoid = (*self._busy.at(now), *suspect)
        wait, opens = self._busy.first(now), scheduler.opens(self._call, ticket.avoid)
        if opens == 0:
            return 0.0
        if opens is not None and (wait is None or opens < wait):
            wait = opens  # of an engine that is busy, but did not refuse this request
        elif wait is None:
            raise error
        else:
            ticket.avoid = (*self._busy.spent, *suspect)
        # Behind those that were not refused: one whose limit is its own must not starve them.
        scheduler.dispatcher.requeue(ticket)
        return wait + min(1.0, wait / 10)


async def send_unscheduled(
    health: Health, replicas: Sequence[Replica], send: Callable[[Replica], Awaitable[T]]
) -> T:
    """Send a request that generates nothing, and so need not queue, by the same rules.

    Args:
        health: of the engines.
        replicas: one or more, in the order in which they are tried.
        send: sends it to one.

    Raises:
        EngineError: what the last engine failed with.
    """
    fault: Fault | None = None
    for last, replica in enumerate(replicas, 1 - len(replicas)):
        begun = anyio.current_time()
        try:
            answer = await send(replica)
        except EngineBusy:
            if not last:
                raise
        except (EngineUnavailable, RequestFailed) as error:
            well = not await health.check(replica, error)
            if not last or (well and fault is not None):
                raise
            fault = Fault(replica, begun, anyio.current_time()) if well else fault
        else:
            if fault is not None:
                health.note_fault(fault)
            return answer
    raise AssertionError("unreachable")


class BusyEngines:
    """Where one request found engines busy, and when each may be asked again."""

    def __init__(self) -> None:
        self._waits: dict[Replica, Waits] = {}
        self._until: dict[Replica, float] = {}

    def note(self, replica: Replica, told: float | None, now: float) -> float:
        """An engine was busy; gives the seconds for which it is to be left alone.

        Args:
            replica: the engine.
            told: seconds after which it says to come again.
            now: the time.
        """
        waits = self._waits.get(replica)
        if waits is None:
            waits = self._waits[replica] = Waits(replica.engine.retry, now)
        wait, again = waits.next(now, told)
        self._until[replica] = now + wait if again else math.inf
        return wait

    def at(self, now: float) -> tuple[Replica, ...]:
        """The engines that are not to be asked now."""
        return tuple(replica for replica, until in self._until.items() if until > now)

    @property
    def spent(self) -> tuple[Replica, ...]:
        """The engines that were asked as often as may be."""
        return tuple(replica for replica, until in self._until.items() if until == math.inf)

    def first(self, now: float) -> float | None:
        """Seconds until one may be asked again; None if none may."""
        until = min(self._until.values())
        return max(0.001, until - now) if until < math.inf else None
