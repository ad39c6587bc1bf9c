"""More than the engines can do: what is served stays as much as it was."""

from __future__ import annotations

import itertools

import anyio
import pytest

from live_service import LiveService, serving, until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine

pytestmark = pytest.mark.loops("asyncio")

SLOTS, SECONDS = 4, 0.2
CAPACITY = SLOTS / SECONDS
"""Calls a second."""
LASTS = 1.5
QUEUE = 8


class Offered:
    """Clients that come at a rate, each with a program of two calls, and do as they are told."""

    def __init__(self, service: LiveService) -> None:
        self.service = service
        self.answered: list[float] = []
        self.refused = self.longest = 0
        self._numbers = itertools.count()

    async def client(self, name: str) -> None:
        calls = 0
        while calls < 2:
            answer = await self.service.post(_headers={"x-weft-program": name})
            self.longest = max(self.longest, self.service.inside.scheduler.waiting)
            if answer.status_code == 200:
                self.answered.append(anyio.current_time())
                calls += 1
            else:
                assert answer.status_code == 503
                self.refused += 1
                await anyio.sleep(float(answer.headers["retry-after"]))

    async def at(self, rate: float) -> float:
        """Calls answered a second, after a second to begin in, when programs come at a rate."""
        async with anyio.create_task_group() as group:
            start = anyio.current_time()
            while (now := anyio.current_time()) < start + 1 + LASTS:
                group.start_soon(self.client, f"{rate}-{next(self._numbers)}")
                await anyio.sleep(max(0.0, 1 / rate - (anyio.current_time() - now)))
            group.cancel_scope.cancel()
        await until(self.service.idle)
        return sum(start + 1 <= t < start + 1 + LASTS for t in self.answered) / LASTS


async def test_goodput_stays_flat_above_capacity() -> None:
    engine = ScriptedEngine("x", model="m", token_seconds=SECONDS / 2)  # and its end is a token
    limits = {"queue": QUEUE}
    goodput: list[float] = []
    with mock.running(engine) as url:
        async with serving({"spec": url, "concurrency": SLOTS}, limits=limits) as service:
            for times in (1, 2, 4):
                offered = Offered(service)
                goodput.append(await offered.at(times * CAPACITY / 2))
                assert offered.longest <= QUEUE
            assert offered.refused > 10
            assert engine.peak <= SLOTS
    assert goodput[0] > 0.6 * CAPACITY
    assert goodput[1] >= 0.75 * goodput[0]  # a collapse leaves less than half
    assert goodput[2] >= 0.75 * goodput[0]
