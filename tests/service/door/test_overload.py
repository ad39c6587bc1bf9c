"""More than the engines can do."""

from __future__ import annotations

import anyio
import pytest

from live_service import serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine

pytestmark = pytest.mark.loops("asyncio")

SLOTS, QUEUE, PROGRAMS, CALLS = 4, 8, 24, 2


async def test_everybody_is_served_in_the_end_and_nothing_in_vain() -> None:
    """Programs that come all at once, and come again when they are told to."""
    engine = ScriptedEngine("x", model="m", token_seconds=0.01)
    refused = longest = 0
    with mock.running(engine) as url:
        limits = {"queue": QUEUE}
        async with serving({"spec": url, "concurrency": SLOTS}, limits=limits) as service:

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
    assert refused >= PROGRAMS - SLOTS - QUEUE
    assert longest <= QUEUE
    assert engine.peak == SLOTS
    assert len(engine.requests) == PROGRAMS * CALLS
