"""Engines that schedule by priority hear which program began first."""

import json

import anyio
import pytest

from weft import Pool, Prompt, fan_out, generate, program, run
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine

pytestmark = pytest.mark.loops("asyncio")


@program
async def ask(text: str) -> None:
    await generate(Prompt.user(text))


@program
async def agent(text: str) -> None:
    await ask(text)
    async with fan_out(ask, [text, text], programs=True) as results:
        assert len([one async for one in results]) == 2


async def test_older_programs_go_first_with_those_that_they_start() -> None:
    engine = ScriptedEngine("ok", model="m")
    with mock.running(engine) as url:
        async with Pool(f"{url}?priority=true") as pool:
            await run(agent, "older", pool=pool)
            await anyio.sleep(0.002)  # milliseconds count
            await run(ask, "younger", pool=pool)
        told = [
            json.loads(r.raw)["priority"] for r in engine.received if r.path == "/v1/completions"
        ]
        assert len(told) == 4
        assert told[0] == told[1] == told[2] < told[3]
        async with Pool(url) as pool:
            await run(ask, "again", pool=pool)
    assert "priority" not in json.loads(engine.received[-1].raw)


async def test_a_server_with_leases_tells_by_itself_that_it_schedules_by_priority() -> None:
    engine = ScriptedEngine("ok", model="m")
    engine.leases = True
    with mock.running(engine) as url:
        for scheduled, spec in ((False, url), (True, url), (True, f"{url}?priority=false")):
            engine.priority = scheduled
            async with Pool(spec) as pool:
                await run(ask, "told?", pool=pool)
            said = "priority" in json.loads(engine.received[-1].raw)
            assert said == (scheduled and spec == url)
