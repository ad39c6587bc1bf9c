"""Giving stored results back in the order, and at the times, in which they first came.

A program that takes the first of many answers must take the same one when it is run again
from the Store, and must not send the others to an engine meanwhile. So stored results are
released one at a time, oldest first; the next one when the program has reacted and waits. A call
without a stored result waits until none is left to release, and while the program works on
its way to the next one, with a tool perhaps: a minute more than twice as long as the first time
if a branch of the program is known to work, otherwise a second more and a minute at most.

A run has a clock, which is the time of its first run. When all branches wait for stored results,
the clock jumps to the next result. While a branch works, with a tool perhaps, or a timeout is
near, the clock goes on as clocks do, and results come when they first came: so the same one wins
a race with a tool or a timeout. What the clock jumps is charged to budgets of seconds. After a
minute of this the clock jumps all the same.

A call that something cancelled the first time is likely cancelled again, and a call that had not
been sent when the earlier run ended is likely not sent. So it waits about twice as long as the
earlier run still lasted then, a minute at most, if a branch works or a timeout is near.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import anyio

from weft.concurrency import now, until_idle

if TYPE_CHECKING:
    from weft.programs.budgets.budget import budget
    from weft.store.store import Store, StoredResult

_SLACK = 1.0  # seconds that a program may take longer to its next call than the first time
_LONG = 60.0  # the same where a branch of it works, and the most that is waited otherwise
_TINY = 1e-6  # seconds; a shorter time may not pass by a clock


class Replay:
    """The stored results that a run waits for, and the run's clock.

    Args:
        store: has them.
        run: the run's own name.
        program: what runs. A run of another program may have made some of the same calls, but it
            says nothing of those that follow.
        named: whether `run` is a name under which an earlier process may have stored results.

    Attributes:
        run: the name under which results are stored; the first run's, once one of its results
            has come up again.
        working: branches of the program (the program itself, and each part of a fan-out) that
            wait neither here nor for other branches.
    """

    def __init__(self, store: Store, run: str, program: str = "", *, named: bool = False) -> None:
        self._kind = "-" + blake2b(program.encode(), digest_size=8).hexdigest()
        self.run, self.working = run + self._kind, 1
        self._store = store
        self._seen = False
        self._new = not store.filled  # where there is nothing, there is nothing to wait for
        self._last = self._passed = -1  # all results up to the latter have been released
        self._out: set[int] = set()  # later ones that have been, too
        self._due: list[tuple[int, int, _Waiter]] = []
        self._missing: list[_Waiter] = []
        self._limited: list[tuple[float, int, _Waiter]] = []  # that a timeout may end
        self._numbers = itertools.count()
        self._movement = 0
        self._moved: anyio.Event | None = None  # if somebody waits for a movement
        self._driven = False
        self._began, self._jumped = now(), 0.0
        self._end = 0.0  # of the earlier run, by its clock
        self._timed: set[budget] = set()
        self._slow_since: float | None = None  # since when results come when they first came
        if named and not self._new and (last := store.last(self.run)) is not None:
            self._see(last)

    def clock(self) -> float:
        """Seconds since the run began; what came from the Store took as long as the first time."""
        return now() - self._began + self._jumped

    def charge_time(self, spent: budget) -> None:
        """Have the time that stored results took count for a budget."""
        self._timed.add(spent)

    def leave(self, spent: budget) -> None:
        """A budget is closed."""
        self._timed.discard(spent)

    def branches(self, count: int) -> _Branches:
        """So many more branches, or fewer, for the time of a block."""
        return _Branches(self, count)

    def note_branches(self, count: int) -> None:
        """So many more branches work, or fewer."""
        self.working += count
        self._movement += 1
        if self._moved is not None:
            self._moved.set()

    def over(self, stored: StoredResult | None) -> bool:
        """Whether a call has nothing to wait for, since all of the earlier run has come."""
        return stored is None and self._new

    async def await_due(self, stored: StoredResult, at: float, timeout: float) -> None:
        """Wait until a stored result is due.

        Args:
            stored: the result.
            at: when it came, by the clock of its run.
            timeout: when the first timeout ends that the call is in, on anyio's clock.
        """
        self._see(stored)
        waiter = _Waiter(at if stored.run == self.run else 0.0, timeout)
        heapq.heappush(self._due, (stored.order, next(self._numbers), waiter))
        await self._wait(waiter)

    async def await_end(
        self,
        stored: StoredResult | None,
        lost: tuple[float, float] | None,
        timeout: float,
        charge: Callable[[], None] | None = None,
    ) -> None:
        """Wait until no stored result is left to release.

        Args:
            stored: what is known of the call that waits, if it was sent before.
            lost: when the program cancelled it, by the clock of its run, and after how many
                seconds, if it was sent before.
            timeout: when the first timeout ends that the call is in, on anyio's clock.
            charge: charges what the call had cost; called when the program cancelled it the
                first time.
        """
        if stored is not None:
            self._see(stored)
        waiter = _Waiter(0.0, timeout)
        waiter.lost, waiter.charge = lost, charge
        self._missing.append(waiter)
        if stored is not None and lost is not None and charge is not None:
            waiter.at = lost[0] if stored.run == self.run else 0.0
            heapq.heappush(self._due, (stored.order, next(self._numbers), waiter))
        await self._wait(waiter)

    def _see(self, stored: StoredResult) -> None:
        self._new = False
        if not self._seen and stored.run is not None and stored.run.endswith(self._kind):
            self._seen, self.run = True, stored.run
            last = self._store.last(stored.run)
            if last is not None:
                self._last, self._end = last.order, _kept(last, "at")

    async def _wait(self, waiter: _Waiter) -> None:
        """Wait for release. One of those that wait drives for all."""
        if waiter.timeout < math.inf:
            heapq.heappush(self._limited, (waiter.timeout, next(self._numbers), waiter))
        with self.branches(-1):
            try:
                while not waiter.released:
                    if self._driven:
                        await waiter.woken.wait()
                        waiter.woken = anyio.Event()
                        continue
                    self._driven = True
                    try:
                        await self._drive(waiter)
                    finally:
                        self._driven = False
            finally:
                waiter.gone = True
                if not self._driven:
                    self._hand_on()

    def _hand_on(self) -> None:
        """Have another drive."""
        while self._due and self._due[0][2].gone:
            heapq.heappop(self._due)
        if self._due:
            self._due[0][2].woken.set()
            return
        while self._missing and self._missing[-1].gone:
            self._missing.pop()
        if self._missing:
            self._missing[-1].woken.set()
            return
        for spent in self._timed:
            spent.settle()

    async def _drive(self, driver: _Waiter) -> None:
        """Release one after the other, until the driver's own turn."""
        while not driver.released:
            before = self._movement
            await until_idle()
            if self._movement != before:
                continue
            while self._due and self._due[0][2].gone:
                heapq.heappop(self._due)
            if self._due:
                early = self._due[0][2].at - self.clock()
                if early > _TINY and (rest := min(early, self._slowly())) > 0:
                    await self._rest(rest)
                    continue
                order, _, waiter = heapq.heappop(self._due)
                if waiter.charge is not None:
                    waiter.charge()
                    continue
                self._jump(early)
                self._out.add(order)
                self._release(waiter)
            elif (patience := self._patience()) is not None:
                if await self._rest(patience):
                    self._last, self._end = self._passed, 0.0  # the run takes another course
            else:
                # Nothing of an earlier run is left, so what follows is new.
                at = now()
                self._missing, free = self._held_back(at)
                if any(one.lost is None for one in free):
                    # A budget may refuse what is new, and so cancel those that lost.
                    self._missing += [one for one in free if one.lost is not None]
                    free = [one for one in free if one.lost is None]
                for waiter in free:
                    self._release(waiter)
                self._new = not self._missing
                if not driver.released:
                    await self._rest(min(one.until for one in self._missing) - at)

    def _slowly(self) -> float:
        """Seconds for which the clock may not jump, since something else goes on."""
        at, limited = now(), self._limited
        while limited and limited[0][2].gone:
            heapq.heappop(limited)
        if self.working <= 0 and not (limited and limited[0][0] <= at + _LONG):
            self._slow_since = None
            return 0.0
        if self._slow_since is None:
            self._slow_since = at
        return self._slow_since + _LONG - at

    def _jump(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self._jumped += seconds
        for spent in self._timed:
            spent.skip(seconds)

    async def _rest(self, seconds: float) -> bool:
        """Wait for a movement; whether there was none."""
        moved = self._moved = anyio.Event()
        unsettled = min((spent.unsettled for spent in self._timed), default=math.inf)
        left = max(0.0, unsettled - now())
        with anyio.move_on_after(min(seconds, left)) as rest:
            await moved.wait()
        self._moved = None
        if left > seconds:
            return rest.cancelled_caught
        for spent in self._timed:
            if spent.unsettled <= now():
                spent.settle()
        return False

    def _held_back(self, at: float) -> tuple[list[_Waiter], list[_Waiter]]:
        """The calls that are held back since the earlier run cancelled or did not send them.

        And those that are not.
        """
        waiting, clock = [one for one in self._missing if not one.gone], self.clock()
        for one in waiting:
            if one.until < 0:
                lasts = self._end - clock
                if one.lost is not None:
                    ended, lived = one.lost
                    lasts = max(lived, ended - clock)
                one.until = at + min(_LONG, 2 * lasts + _SLACK) if lasts > 0 else 0.0
        if self.working <= 0 and not any(at < one.timeout <= one.until for one in waiting):
            return [], waiting
        return [one for one in waiting if one.until > at], [
            one for one in waiting if one.until <= at
        ]

    def _patience(self) -> float | None:
        """Seconds to wait for the next stored result to be asked for; None if none is left."""
        following = self._following()
        if following is None:
            return None
        after = _kept(following, "after")
        return 2 * after + _LONG if self.working > 0 else min(_LONG, 2 * after + _SLACK)

    def _following(self) -> StoredResult | None:
        """The first result of the earlier run that has not been released; None if all have."""
        while self._passed < self._last:
            following = self._store.following(self.run, self._passed)
            if following is None or following.order > self._last:
                break
            if following.order not in self._out:
                return following
            self._passed = following.order
            self._out.discard(self._passed)
        return None

    def _release(self, waiter: _Waiter) -> None:
        waiter.released = True
        waiter.woken.set()
        self._movement += 1


def _kept(stored: StoredResult, seconds: str) -> float:
    """One of the times of a stored result."""
    kept: dict[str, Any] = json.loads(stored.outcome)
    return kept.get(seconds, 0.0)


class _Branches:
    __slots__ = ("_count", "_replay")

    def __init__(self, replay: Replay, count: int) -> None:
        self._replay, self._count = replay, count

    def __enter__(self) -> None:
        self._replay.note_branches(self._count)

    def __exit__(self, *_: object) -> None:
        self._replay.note_branches(-self._count)


class _Waiter:
    """A call that waits."""

    __slots__ = ("at", "charge", "gone", "lost", "released", "timeout", "until", "woken")

    def __init__(self, at: float, timeout: float) -> None:
        self.at, self.timeout = at, timeout
        self.lost: tuple[float, float] | None = None
        self.charge: Callable[[], None] | None = None
        self.until = -1.0  # not known yet
        self.released = self.gone = False
        self.woken = anyio.Event()
