"""What calls leave behind, and what they ask of a Store, as counts."""

from __future__ import annotations

import gc
import sqlite3
from typing import Any

from anyio.lowlevel import checkpoint

from weft import Pool, Prompt, generate, run
from weft.backends.engine import Engine, OnDelta
from weft.backends.scripted.engine import ScriptedEngine
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
