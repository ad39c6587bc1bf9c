"""An engine dies, and comes back: why calls waited, and computed what had been cached."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from ports import free_port
from waiting import PATIENCE, until
from weft import Pool, Prompt, generate, run
from weft.orchestrator.decisions.decision import Decision
from weft_process import WeftProcess

pytestmark = pytest.mark.loops("asyncio")
TEXT = "one two three four five six " * 8


async def ask(text: str) -> str:
    return (await generate(Prompt.user(text), max_tokens=4)).text


async def listening(port: int) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    return
            except OSError:
                await anyio.sleep(0.02)


async def test_a_call_waits_for_an_engine_that_died_and_finds_its_cache_empty(
    tmp_path: Path,
) -> None:
    port, log = free_port(), list[Decision]()
    mock = ("mock", "--reply", "well", "--port", str(port))
    died = WeftProcess(*mock, log=tmp_path / "log")
    await listening(port)
    try:
        async with Pool(
            f"http://127.0.0.1:{port}", observe=log.append, outage=PATIENCE, check=0.05
        ) as pool:
            await run(ask, TEXT, pool=pool)
            died.kill()
            died.wait()
            log.clear()
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: run(ask, TEXT, pool=pool))
                await until(lambda: any("is up" in one.reason for one in log))
                back = WeftProcess(*mock, log=tmp_path / "log")
    finally:
        for one in (died, back):
            one.end()
    starts = [one for one in log if one.kind == "start"]
    assert starts[-1].cause == "down"
    missed = [one for one in log if one.kind == "miss"]
    assert missed[0].cause == "down"
    assert "before the engine was down" in missed[0].reason
