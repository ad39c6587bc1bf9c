"""What calls leave behind, and what they ask of a Store, as counts."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import ref

import anyio
from anyio.lowlevel import checkpoint

from weft import Pool, Prompt, generate, run
from weft.backends.engine import Engine, OnDelta
from weft.backends.scripted.engine import ScriptedEngine
from weft.programs.history.journal import Journal
from weft.programs.scope import Scope
from weft.store.store import Store
from weft.types import Delta, Request


class _Forgetful(Engine):
    """Answers, and remembers nothing."""

    name, model, kv_tokens = "forgetful", "m", 64

    async def connect(self) -> None: ...

    async def aclose(self) -> None: ...

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        await checkpoint()
        on_delta(Delta("yes", (), 1, finish_reason="stop", ended=True))


async def _ask(first: int, count: int) -> None:
    for i in range(first, first + count):
        await generate(Prompt.user(f"{i}"), max_tokens=4)


async def test_calls_outside_any_run_leave_nothing_behind(anyio_backend):
    async with Pool(_Forgetful()) as pool:
        await _ask(0, 100)
        gc.collect()
        before = len(gc.get_objects())
        await _ask(100, 200)
        gc.collect()
        assert len(gc.get_objects()) - before < 200
        assert isinstance(pool.default_run, Scope)
        assert pool.default_run.journal.events == []
        assert pool.default_run.journal.usage.calls == 300


async def test_a_run_whose_calls_had_to_wait_is_forgotten_with_its_last_reference(anyio_backend):
    async def several() -> None:
        await generate(Prompt.user("a"), n=4)

    async with Pool(ScriptedEngine(lambda request: "yes", concurrency=1)) as pool:
        journal = Journal()
        known = ref(journal)
        await run(several, pool=pool, journal=journal)
        assert len(journal.events) == 12
        del journal
        gc.collect()
        assert known() is None


async def test_a_call_that_waits_has_few_objects(anyio_backend):
    """Thousands may wait, and Python's collector walks all objects now and then."""
    gate, calls = anyio.Event(), 200

    async def objects(wait: Callable[[], Coroutine[Any, Any, object]]) -> float:
        async with anyio.create_task_group() as tasks:
            gc.collect()
            before = len(gc.get_objects())
            for _ in range(calls):
                tasks.start_soon(wait)
            for _ in range(3):
                await checkpoint()
            gc.collect()
            found = len(gc.get_objects()) - before
            tasks.cancel_scope.cancel()
        return found / calls

    async def ask() -> None:
        await generate(Prompt.user("a"), max_tokens=4)

    async def several() -> None:
        await objects(ask)  # a little is remembered of the first
        own, bare = await objects(ask), await objects(gate.wait)
        assert own - bare < (18 if anyio_backend == "asyncio" else 23)

    engine = ScriptedEngine(lambda request: "yes", concurrency=1, token_seconds=60.0)
    async with Pool(engine) as pool:
        gc.freeze()  # what is there by now need not be walked each time
        try:
            await run(several, pool=pool)
        finally:
            gc.unfreeze()


async def test_the_same_asked_again_outside_any_run_is_another_sample(anyio_backend):
    async with Pool(ScriptedEngine(lambda request: "yes")):
        assert [(await generate(Prompt.user("a"))).index for _ in range(3)] == [0, 1, 2]


async def test_a_stored_call_is_one_read_and_one_commit(tmp_path, anyio_backend):
    said: list[str] = []
    with Store(tmp_path / "s.db") as store:
        async with Pool(ScriptedEngine(lambda request: "yes")) as pool:
            await run(_ask, 0, 1, pool=pool, store=store)
            fast: Any = store.database._fast
            connection = fast._raw
            assert isinstance(connection, sqlite3.Connection)
            connection.set_trace_callback(said.append)
            await run(_ask, 1, 20, pool=pool, store=store)
            connection.set_trace_callback(None)
        kinds = [statement.split()[0] for statement in said]
        assert kinds.count("SELECT") == 20
        assert kinds.count("INSERT") == kinds.count("COMMIT") == 20
        # What is there can be read by others at once.
        with sqlite3.connect(tmp_path / "s.db") as other:
            assert other.execute("SELECT count(*) FROM calls").fetchone() == (21,)
