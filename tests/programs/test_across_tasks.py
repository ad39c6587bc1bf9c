"""A pool that is opened in one task and closed in another, as by the cells of a notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

import anyio
import pytest

from weft import Limits, Pool, Prompt, ScriptedEngine, budget, fan_out, generate, run, run_sync
from weft.concurrency import TaskGroup
from weft.errors import BudgetExceeded, EngineUnavailable, UsageError
from weft.orchestrator.open_pools import find_pool

T = TypeVar("T")
ASK = Prompt.user("6 * 7?")


async def cell(work: Callable[[], Awaitable[T]]) -> T:
    """Run in a task of its own, which has ended when this returns."""
    found: list[T] = []

    async def inner() -> None:
        found.append(await work())

    async with TaskGroup() as group:
        group.start_soon(inner)
    return found[0]


async def test_a_pool_lives_across_tasks() -> None:
    engine = ScriptedEngine("42")
    pool = await cell(Pool(engine).open)
    assert pool.is_open

    async def ask() -> str:
        with budget(calls=1):
            return (await generate(ASK)).text

    assert await cell(ask) == "42"
    assert (await cell(lambda: run(ask, pool=pool))).value == "42"

    async def many() -> list[str]:
        async with fan_out(lambda _: ask(), range(2)) as results:
            return [text async for text in results]

    assert await cell(many) == ["42", "42"]
    await cell(pool.aclose)
    assert not pool.is_open
    with pytest.raises(UsageError, match="no engines to call here"):
        await cell(ask)


async def test_the_block_may_be_entered_and_left_by_different_tasks() -> None:
    pool = Pool(ScriptedEngine("42"))
    await cell(pool.__aenter__)
    await cell(lambda: pool.__aexit__(None, None, None))
    async with pool:  # a closed pool may be opened again
        assert (await generate(ASK)).text == "42"


async def test_the_pool_around_the_code_comes_first() -> None:
    other = await cell(Pool(ScriptedEngine("other")).open)
    async with Pool(ScriptedEngine("mine")):
        await cell(Pool(ScriptedEngine("latest")).open)
        assert (await generate(ASK)).text == "mine"
    assert (await generate(ASK)).text == "latest"
    await cell(other.aclose)
    assert (await generate(ASK)).text == "latest"
    last = find_pool()
    assert last is not None
    await last.aclose()


async def test_a_pool_that_can_not_be_opened_leaves_nothing() -> None:
    engine = ScriptedEngine("42")
    engine.kill()
    pool = Pool(engine)
    with pytest.raises(EngineUnavailable):
        await cell(pool.open)
    assert not pool.is_open
    with pytest.raises(UsageError, match="no engines to call here"):
        await generate(ASK)
    await pool.aclose()


async def test_an_opening_that_is_cancelled_leaves_nothing() -> None:
    begun, ended = anyio.Event(), anyio.Event()

    class Slow(ScriptedEngine):
        async def connect(self) -> None:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

    pool = Pool(Slow("42"))
    async with anyio.create_task_group() as group:
        group.start_soon(pool.open)
        await begun.wait()
        group.cancel_scope.cancel()
    assert ended.is_set()
    assert not pool.is_open


async def test_a_pool_is_opened_once() -> None:
    async with Pool(ScriptedEngine("42")) as pool:
        with pytest.raises(UsageError, match="open already"):
            await pool.open()
        assert (await generate(ASK)).text == "42"


def test_cells_of_asyncio() -> None:
    """As a notebook runs its cells: each a run of one loop, in a context of its own."""
    loop = asyncio.new_event_loop()

    def notebook(code: Coroutine[Any, Any, T]) -> T:
        return copy_context().run(loop.run_until_complete, code)

    async def ask() -> str:
        with budget(tokens=1000):
            return (await generate(ASK)).text

    try:
        pool = notebook(Pool(ScriptedEngine("42")).open())
        assert notebook(ask()) == "42"
        notebook(pool.aclose())
    finally:
        loop.close()


async def answer() -> str:
    return (await generate(ASK)).text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_sync(backend: str) -> None:
    pool = Pool(ScriptedEngine("42"))
    for _ in range(2):
        done = run_sync(answer, pool=pool, backend=backend, budget=Limits(calls=1))
        assert done.value == "42"
        assert done.usage.calls == 1
    assert run_sync(answer, pool=ScriptedEngine("7")).value == "7"
    assert run_sync(answer, pool="scripted:8").value == "8"
    with pytest.raises(BudgetExceeded):
        run_sync(answer, pool=pool, backend=backend, budget=Limits(tokens=1))


async def test_run_sync_where_a_loop_runs_already() -> None:
    assert run_sync(answer, pool=ScriptedEngine("42")).value == "42"
    async with Pool(ScriptedEngine("42")) as pool:
        with pytest.raises(UsageError, match="use `await run"):
            run_sync(answer, pool=pool)
