"""Giving stored results back in the order in which they first came.

A program that takes the first of many answers must take the same one when it is run again
from the Store, and must not send the others to an engine meanwhile. So stored results are
released one at a time, oldest first, with time for the program to react between them; and a
call without a stored result waits until none is left to release.
"""

from __future__ import annotations

import heapq

import anyio
from anyio.lowlevel import checkpoint

# Turns of the event loop in which a program can react to a result: leave a fan-out, cancel
# the losers, send the next call. A nested fan-out needs some ten.
_SETTLE = 25


class Replay:
    """The stored results that a run waits for."""

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._changed = anyio.Event()
        self._movement = 0

    def _move(self) -> None:
        self._movement += 1
        self._changed.set()
        self._changed = anyio.Event()

    async def turn(self, order: int) -> None:
        """Wait until the stored result that came as number `order` is due."""
        heapq.heappush(self._waiting, order)
        self._move()
        try:
            while True:
                if self._waiting[0] != order:
                    await self._changed.wait()
                elif await self._settled():
                    return
        finally:
            self._waiting.remove(order)
            heapq.heapify(self._waiting)
            self._move()

    async def exhausted(self) -> None:
        """Wait until no stored result is left to release."""
        while True:
            if self._waiting:
                await self._changed.wait()
            elif await self._settled():
                return

    async def _settled(self) -> bool:
        """Let everything run that can; whether no result came or went meanwhile."""
        before = self._movement
        for _ in range(_SETTLE):
            await checkpoint()
            if self._movement != before:
                return False
        return True
