"""Runs of a lower number go before others, in weft's queues and in engines."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from weft import Pool, Prompt, generate, program, run
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import UsageError


@program
async def ask(text: str) -> str:
    return (await generate(Prompt.user(text), max_tokens=8)).text


@program
async def outer(text: str) -> str:
    return await ask(text)


@pytest.mark.loops("virtual")
async def test_a_run_of_a_lower_number_goes_first() -> None:
    engine = ScriptedEngine(lambda request: Scripted("x", seconds=0.01), concurrency=1)
    async with Pool(engine) as pool, anyio.create_task_group() as group:

        async def one(text: str, priority: int) -> None:
            await run(outer, text, pool=pool, priority=priority)

        group.start_soon(one, "first", 0)
        while not engine.running:
            await checkpoint()
        for text, priority in (("late", 5), ("usual", 0), ("urgent", -5), ("usual too", 0)):
            group.start_soon(one, text, priority)
            await anyio.wait_all_tasks_blocked()
    asked = [r.messages[-1].content for r in engine.requests]
    assert asked == ["first", "urgent", "usual", "usual too", "late"]
    numbers = {r.messages[-1].content: r.priority for r in engine.requests}
    assert numbers["urgent"] < numbers["first"] <= numbers["usual"] < numbers["late"]


@pytest.mark.parametrize("given", [True, 1001, "1"])
async def test_what_is_no_priority_is_refused(given: int) -> None:
    async with Pool(ScriptedEngine("x")) as pool:
        with pytest.raises(UsageError, match="priority="):
            await run(ask, "a", pool=pool, priority=given)
