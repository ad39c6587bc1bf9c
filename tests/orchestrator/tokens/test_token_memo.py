from __future__ import annotations

import anyio
import pytest

from weft.errors import RequestRejected
from weft.orchestrator.tokens.token_memo import TokenMemo


async def test_who_asks_is_answered_for_all() -> None:
    memo, asked, found = TokenMemo(), [], []

    async def ask() -> tuple[int, ...]:
        asked.append(1)
        await anyio.wait_all_tasks_blocked()
        return (1, 2)

    async def want() -> None:
        found.append(await memo.get("a", ask))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(want)
    assert found == [(1, 2)] * 5
    assert await memo.get("a", ask) == (1, 2)
    assert len(asked) == 1


async def test_an_error_is_everybodys_but_not_remembered() -> None:
    memo, asked, refused = TokenMemo(), [], []

    async def ask() -> tuple[int, ...]:
        asked.append(1)
        await anyio.wait_all_tasks_blocked()
        raise RequestRejected("no")

    async def want() -> None:
        with pytest.raises(RequestRejected):
            await memo.get("a", ask)
        refused.append(1)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(want)
    assert (len(asked), len(refused)) == (1, 3)
    await want()
    assert len(asked) == 2


async def test_if_who_asks_is_cancelled_the_next_one_asks() -> None:
    memo, asked, found = TokenMemo(), [], []

    async def ask() -> tuple[int, ...]:
        asked.append(1)
        if len(asked) == 1:
            await anyio.sleep_forever()
        return (7,)

    async def want() -> None:
        found.append(await memo.get("a", ask))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(want)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(want)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
    assert found == [(7,)]


async def test_what_was_asked_for_longest_ago_is_forgotten() -> None:
    memo, asked = TokenMemo(most=5), []

    async def want(key: str) -> None:
        async def ask() -> tuple[int, ...]:
            asked.append(key)
            return (1, 2)

        await memo.get(key, ask)

    for key in "abacab":  # c pushes b out
        await want(key)
    assert asked == ["a", "b", "c", "b"]
