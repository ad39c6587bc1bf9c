"""Nodes that are run again when they fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from weft import Pool, Prompt, ScriptedEngine, Store, budget, fan_out, generate, node, once, run
from weft.errors import BudgetExceeded, UsageError

AT_ONCE = {"attempts": 3, "first": 0}


def failing(times: int, retry: Any = AT_ONCE) -> tuple[Callable[[str], Any], list[str]]:
    """A node that asks, and then raises so many times; and what it was told."""
    told: list[str] = []

    @node(retry=retry)
    async def ask(question: str) -> str:
        told.append((await generate(Prompt.user(question))).text)
        if len(told) <= times:
            raise ConnectionError("the line broke")
        return f"said {told[-1]}"

    return ask, told


async def test_each_attempt_is_seen_and_paid() -> None:
    ask, told = failing(2)
    async with Pool(ScriptedEngine(["a", "b", "c"])) as pool:
        done = await run(ask, "?", pool=pool)
    assert (done.value, told) == ("said c", ["a", "b", "c"])
    nodes = [one for one in done.spans.values() if one.kind == "node"]
    assert [one.status for one in nodes] == ["failed", "failed", "done"]
    assert "the line broke" in nodes[0].error
    calls = [one for one in done.spans.values() if one.kind == "call"]
    assert [one.parent for one in calls] == [one.id for one in nodes]
    assert done.usage.calls == 3


async def test_the_last_error_is_raised() -> None:
    ask, told = failing(9)
    async with Pool(ScriptedEngine("a")) as pool:
        with pytest.raises(ConnectionError, match="the line broke"):
            await run(ask, "?", pool=pool)
    assert len(told) == 3


async def test_a_store_gives_each_attempt_its_own_answer_again() -> None:
    engine, store = ScriptedEngine(["a", "b"]), Store()
    async with Pool(engine, store=store) as pool:
        for _ in range(2):
            ask, told = failing(1)
            done = await run(ask, "?", pool=pool)
            assert (done.value, told, done.usage.calls) == ("said b", ["a", "b"], 2)
    assert len(engine.requests) == 2


async def test_what_an_attempt_has_done_stays_done() -> None:
    sent: list[str] = []
    breaks = 1

    @once
    async def send(text: str, *, key: str) -> str:
        sent.append(text)
        return key

    async def post(text: str) -> str:
        return await send(text)

    @node(retry=AT_ONCE)
    async def letters() -> list[str]:
        nonlocal breaks
        keys = [await send("first"), await send("first")]
        async with fan_out(post, ["left", "right"], limit=1) as found:
            keys += sorted([key async for key in found])
        if breaks:
            breaks -= 1
            raise ConnectionError
        return [*keys, await send("last")]

    async def both() -> list[list[str]]:
        return [await letters(), await letters()]

    async with Pool(ScriptedEngine("-"), store=Store()) as pool:
        done = await run(both, pool=pool, id="letters")
        again = await run(both, pool=pool, id="letters")
    assert done.value == again.value
    first, second = done.value
    assert len({*first, *second}) == 10  # the node run anew on purpose does it anew
    assert sorted(sent) == sorted(["first", "first", "left", "right", "last"] * 2)


async def test_a_budget_around_is_raised_at_once_and_one_within_is_not() -> None:
    asked = 0

    @node(retry=AT_ONCE)
    async def greedy(within: int) -> str:
        nonlocal asked
        asked += 1
        with budget(calls=within):
            for turn in range(2):
                said = await generate(Prompt.user(f"{turn} {asked}"))
        return said.text

    async with Pool(ScriptedEngine("a")) as pool:
        with budget(calls=3), pytest.raises(BudgetExceeded):
            await run(greedy, 1, pool=pool)  # its own budget ends it, three times
        assert asked == 3
        asked = 0
        with budget(calls=1), pytest.raises(BudgetExceeded):
            await run(greedy, 9, pool=pool)
        assert asked == 1


async def test_errors_of_use_and_wrong_arguments_are_no_bad_luck() -> None:
    tried = 0

    @node(retry=3)
    async def wrong() -> None:
        nonlocal tried
        tried += 1
        raise UsageError("a mistake")

    async with Pool(ScriptedEngine("a")) as pool:
        with pytest.raises(UsageError, match="a mistake"):
            await run(wrong, pool=pool)
        with pytest.raises(UsageError, match="wrong was given arguments that it does not take"):
            await run(wrong, 3, pool=pool)
    assert tried == 1


async def test_a_wait_can_be_cancelled_and_leaves_nothing() -> None:
    ask, told = failing(9, {"first": 60, "longest": 60})
    async with Pool(ScriptedEngine("a")) as pool:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: run(ask, "?", pool=pool))
            while not told or pool.scheduler.in_flight:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert not pool.scheduler.dispatcher.programs
    assert told == ["a"]


@pytest.mark.parametrize(
    ("retry", "says"),
    [
        ("often", "retry='often' must be a number of attempts, or a Retry"),
        (0, "retry: attempts=0 must be at least 1"),
        ({"times": 3}, "unknown field of retry 'times'"),
        (True, "retry: attempts=True must be a number"),
    ],
)
def test_what_is_no_retry(retry: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        node(retry=retry)
