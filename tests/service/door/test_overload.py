"""More than the engines can do."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from live_service import answered, raw_engine, serving
from waiting import until

pytestmark = pytest.mark.loops("asyncio")

SLOTS, QUEUE, PROGRAMS, CALLS = 4, 8, 24, 2


async def test_everybody_is_served_in_the_end_and_nothing_in_vain() -> None:
    """Programs that come all at once, and come again when they are told to."""
    refused = longest = running = peak = 0
    crowded = False

    def all_came() -> bool:
        nonlocal crowded
        crowded |= running == SLOTS and refused >= PROGRAMS - SLOTS - QUEUE
        return crowded

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await until(all_came)
        running -= 1
        writer.write(answered(200, b'{"choices": []}'))

    async with raw_engine(reply) as engine:
        limits = {"queue": QUEUE}
        async with serving({"spec": engine.url, "concurrency": SLOTS}, limits=limits) as service:

            async def program(name: str) -> None:
                nonlocal refused, longest
                calls = 0
                while calls < CALLS:
                    answer = await service.post(_headers={"x-weft-program": name})
                    longest = max(longest, service.inside.scheduler.waiting)
                    if answer.status_code == 200:
                        calls += 1
                    else:
                        assert answer.status_code == 503
                        refused += 1
                        await anyio.sleep(float(answer.headers["retry-after"]))

            async with anyio.create_task_group() as group:
                for number in range(PROGRAMS):
                    group.start_soon(program, str(number))
            await until(service.idle)
    assert longest <= QUEUE
    assert peak == SLOTS
    assert engine.asked == PROGRAMS * CALLS
