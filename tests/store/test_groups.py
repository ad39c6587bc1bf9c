"""Results that come in one turn of the event loop are committed together."""

import logging
from pathlib import Path

import anyio
import pytest

from weft import Pool, Prompt, generate, run
from weft.backends.scripted.engine import ScriptedEngine
from weft.concurrency import TaskGroup
from weft.errors import StoreError
from weft.store.store import Store


async def test_results_of_one_turn_share_a_transaction(
    anyio_backend_name, store_place, monkeypatch
):
    with Store(store_place) as store:
        sizes: list[int] = []
        change = store.database.change

        def counted(statement, values):
            sizes.append(len(values))
            change(statement, values)

        monkeypatch.setattr(store.database, "change", counted)
        group = None
        for i in range(20):
            group = store.put_soon(str(i), "whole", done=True)
        if anyio_backend_name == "trio":  # whose tasks go on in any order
            assert group is None
            assert sizes == [1] * 20
        else:
            assert group is not None
            assert sizes == []
            await group.written("19")
            assert sizes == [20]
            await group.written("0")  # long over
        orders = [store.get(str(i)) for i in range(20)]
        assert [r.order for r in orders if r] == sorted(r.order for r in orders if r)
        assert len(store) == 20


async def test_a_program_sees_a_result_only_when_another_connection_does(
    anyio_backend, store_place
):
    async def program() -> list[int]:
        seen: list[int] = []
        for i in range(3):
            await generate(Prompt.user(f"question {i}"), max_tokens=4)
            with Store(store_place) as other:
                seen.append(len(other))
        return seen

    with Store(store_place) as store:
        async with Pool(ScriptedEngine()) as pool:
            assert (await run(program, pool=pool, store=store)).value == [1, 2, 3]


async def test_what_is_not_written_yet_can_be_read(anyio_backend, store_place):
    with Store(store_place) as store:
        store.put_soon("a", "part", done=False, run="r")
        store.put_soon("b", "whole", done=True, run="r")
        found = store.get("b")
        assert found is not None
        assert found.outcome == "whole"
        store.put_soon("a", "whole", done=True, run="r")
        following = store.following("r", found.order)
        assert following is not None
        assert following.outcome == "whole"
        assert store.last("r") == following
        store.put("c", "whole", done=True)
        assert len(store) == 3


async def test_a_row_that_is_refused_keeps_no_other_out(anyio_backend_name, store_place, caplog):
    if anyio_backend_name == "trio":
        return  # where each row is alone
    with Store(store_place) as store:
        store.put_soon("a", "1", done=True)
        store.put_soon("b", None, done=True)  # type: ignore[arg-type]
        store.put_soon("lost", None, done=False)  # type: ignore[arg-type]
        group = store.put_soon("c", "3", done=True)
        assert group is not None
        refused: list[str] = []

        async def wait(key: str) -> None:
            try:
                await group.written(key)
            except StoreError:
                refused.append(key)

        with caplog.at_level(logging.WARNING):
            async with TaskGroup() as tasks:
                for key in "abc":
                    tasks.start_soon(wait, key)
        assert refused == ["b"]
        assert [store.get(key) is not None for key in ("a", "b", "c", "lost")] == [
            True,
            False,
            True,
            False,
        ]
    assert "what a cancelled call cost is not kept" in caplog.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_nobody_waits_for_is_there_when_the_loop_or_the_store_has_ended(
    store_place: Path | str, backend: str
):
    async def leave(key: str) -> None:
        store.put_soon(key, "whole", done=True)

    with Store(store_place) as store:
        anyio.run(leave, "a", backend=backend)
        anyio.run(leave, "b", backend=backend)
        assert store.put_soon("c", "whole", done=True) is None  # no event loop: it is written
        with Store(store_place) as other:
            assert [other.get(key) is not None for key in "abc"] == [True] * 3

    async def close() -> None:
        with Store(store_place) as store:
            store.put_soon("d", "whole", done=True)

    anyio.run(close, backend=backend)
    with Store(store_place) as store:
        assert store.get("d") is not None
