"""Timeline: one task that runs callbacks at their times."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import copy_context
from heapq import heappop, heappush
from types import TracebackType

import anyio
import anyio.abc

from weft.concurrency import TaskGroup


class Alarm:
    """A callback that is due at a time, until it has run or `cancel` was called."""

    __slots__ = ("_callback", "_timeline", "time")

    def __init__(self, timeline: Timeline, time: float, callback: Callable[[], None]) -> None:
        self.time = time
        self._timeline = timeline
        self._callback: Callable[[], None] | None = callback

    @property
    def pending(self) -> bool:
        """Whether it is still to run."""
        return self._callback is not None

    def cancel(self) -> None:
        """Never run it; nothing happens if it has run."""
        self._callback = None
        self._timeline.trim()

    def run(self) -> None:
        """Run the callback now; the timeline does."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Timeline:
    """Runs callbacks at times on anyio's clock, in order; ties go by when they were set.

        async with Timeline() as timeline:
            timeline.at(timeline.now + 3.0, ring)

    One task serves any number of callbacks: it naps until the earliest is due and then runs
    all that are due. A virtual clock can drive the timeline instead (`drive_by`). An exception
    of a callback leaves the block.

    Attributes:
        wakeups: how often something was due.
    """

    def __init__(self) -> None:
        self.wakeups = 0
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._set = 0
        self._clock: Callable[[], float] = anyio.current_time
        self._driven = False
        self._nap: anyio.CancelScope | None = None
        self._tasks: anyio.abc.TaskGroup | None = None
        self._error: Exception | None = None

    @property
    def now(self) -> float:
        """Seconds on anyio's clock."""
        return self._clock()

    @property
    def next(self) -> float:
        """When something will be due; infinity if nothing is set."""
        return self._alarms[0][0] if self._alarms else math.inf

    def at(self, time: float, callback: Callable[[], None]) -> Alarm:
        """Run a callback at a time, or as soon as possible if that has passed."""
        alarm = Alarm(self, time, callback)
        self._set += 1
        heappush(self._alarms, (time, self._set, alarm))
        # Moving the nap's end costs less than waking the task to take a shorter one.
        if self._nap is not None and time < self._nap.deadline:
            self._nap_until(self._nap, time)
        return alarm

    def drive_by(self, clock: Callable[[], float]) -> None:
        """Have somebody else call `run_due`, who owns the clock; to be said before the block."""
        self._clock, self._driven = clock, True

    def run_due(self) -> None:
        """Run all callbacks whose time has come."""
        self.wakeups += 1
        alarms = self._alarms
        now = self.now
        try:
            while alarms and alarms[0][0] <= now:
                heappop(alarms)[2].run()
        except Exception as error:
            if self._tasks is None:
                raise
            self._error = error
            self._tasks.cancel_scope.cancel()
        self.trim()

    def trim(self) -> None:
        """Drop cancelled alarms that are next, so that nobody wakes for them."""
        alarms = self._alarms
        while alarms and not alarms[0][2].pending:
            heappop(alarms)
        if self._nap is not None and self.next > self._nap.deadline:
            self._nap_until(self._nap, self.next)

    def _nap_until(self, nap: anyio.CancelScope, time: float) -> None:
        # A timer of asyncio keeps alive what the context variables hold of whoever sets it, such
        # as a whole run.
        self._context.run(setattr, nap, "deadline", time)

    async def __aenter__(self) -> Timeline:
        self._error = None
        self._context = copy_context()
        self._group = TaskGroup()
        self._tasks = await self._group.__aenter__()
        if not self._driven:
            self._tasks.start_soon(self._drive)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        tasks, self._tasks = self._tasks, None
        assert tasks is not None
        tasks.cancel_scope.cancel()
        absorbed = await self._group.__aexit__(kind, error, trace)
        if self._error is not None:
            raise self._error
        return absorbed

    async def _drive(self) -> None:
        while True:
            with anyio.CancelScope(deadline=self.next) as self._nap:
                await anyio.sleep_forever()
            self._nap = None
            self.run_due()
