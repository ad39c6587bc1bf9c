"""Giving stored results back in the order in which they first came.

A program that takes the first of many answers must take the same one when it is run again
from the Store, and must not send the others to an engine meanwhile. So stored results are
released one at a time, oldest first; the next one when the program has reacted and waits. A call
without a stored result waits until none is left to release, and while the program works on
its way to the next one, with a tool perhaps: a minute more than twice as long as the first time
if a branch of the program is known to work, otherwise a second more and a minute at most.

A call that something cancelled the first time, a faster tool or a timeout, is likely cancelled
again. So it waits about twice as long as it lived then, a minute at most, if a branch works or a
timeout is near.
"""

from __future__ import annotations

import heapq
import itertools
import json
from hashlib import blake2b
from typing import TYPE_CHECKING

import anyio

from weft.concurrency import until_idle

if TYPE_CHECKING:
    from weft.store.store import Store, StoredResult

_SLACK = 1.0  # seconds that a program may take longer to its next call than the first time
_LONG = 60.0  # the same where a branch of it works, and the most that is waited otherwise


class Replay:
    """The stored results that a run waits for.

    Args:
        store: has them.
        run: the run's own name.
        program: what runs. A run of another program may have made some of the same calls, but it
            says nothing of those that follow.

    Attributes:
        run: the name under which results are stored; the first run's, once one of its results
            has come up again.
        working: branches of the program (the program itself, and each part of a fan-out) that
            wait neither here nor for other branches.
    """

    def __init__(self, store: Store, run: str, program: str = "") -> None:
        self._kind = "-" + blake2b(program.encode(), digest_size=8).hexdigest()
        self.run, self.working = run + self._kind, 1
        self._store = store
        self._seen = False
        self._new = not store.filled  # where there is nothing, there is nothing to wait for
        self._last = self._passed = -1  # all results up to the latter have been released
        self._out: set[int] = set()  # later ones that have been, too
        self._due: list[tuple[int, int, _Waiter]] = []
        self._missing: list[_Waiter] = []
        self._numbers = itertools.count()
        self._movement = 0
        self._moved: anyio.Event | None = None  # if somebody waits for a movement
        self._driven = False

    def branches(self, count: int) -> _Branches:
        """So many more branches, or fewer, for the time of a block."""
        return _Branches(self, count)

    def note_branches(self, count: int) -> None:
        """So many more branches work, or fewer."""
        self.working += count
        self._movement += 1
        if self._moved is not None:
            self._moved.set()

    async def await_due(self, stored: StoredResult) -> None:
        """Wait until a stored result is due."""
        self._see(stored)
        waiter = _Waiter()
        heapq.heappush(self._due, (stored.order, next(self._numbers), waiter))
        await self._wait(waiter)

    async def await_end(self, stored: StoredResult | None, lived: float | None = None) -> None:
        """Wait until no stored result is left to release.

        Args:
            stored: what is known of the call that waits, if it was sent before.
            lived: seconds after which the program cancelled it, if it did.
        """
        if stored is not None:
            self._see(stored)
        elif self._new:
            return
        waiter = _Waiter()
        if lived is not None:
            at = anyio.current_time()
            waiter.until = at + min(_LONG, 2 * lived + _SLACK)
            waiter.dies = anyio.current_effective_deadline() <= waiter.until
        self._missing.append(waiter)
        await self._wait(waiter)

    def _see(self, stored: StoredResult) -> None:
        self._new = False
        if not self._seen and stored.run is not None and stored.run.endswith(self._kind):
            self._seen, self.run = True, stored.run
            self._last = self._store.last(stored.run)

    async def _wait(self, waiter: _Waiter) -> None:
        """Wait for release. One of those that wait drives for all."""
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
                order, _, waiter = heapq.heappop(self._due)
                self._out.add(order)
                self._release(waiter)
            elif (patience := self._patience()) is not None:
                moved = self._moved = anyio.Event()
                with anyio.move_on_after(patience) as rest:
                    await moved.wait()
                self._moved = None
                if rest.cancelled_caught:
                    self._last = self._passed  # the run takes another course
            else:
                # Nothing of an earlier run is left, so what follows is new.
                self._new = True
                missing, self._missing, at = self._missing, [], anyio.current_time()
                for waiter in missing:
                    if waiter.until > at and (self.working > 0 or waiter.dies):
                        self._missing.append(waiter)
                    else:
                        self._release(waiter)
                if not driver.released:
                    moved = self._moved = anyio.Event()
                    with anyio.move_on_after(min(one.until for one in self._missing) - at):
                        await moved.wait()
                    self._moved = None

    def _patience(self) -> float | None:
        """Seconds to wait for the next stored result to be asked for; None if none is left."""
        following = self._following()
        if following is None:
            return None
        after: float = json.loads(following.outcome).get("after", 0.0)
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

    __slots__ = ("dies", "gone", "released", "until", "woken")

    def __init__(self) -> None:
        self.released = self.gone = False
        self.until, self.dies = 0.0, False
        self.woken = anyio.Event()
