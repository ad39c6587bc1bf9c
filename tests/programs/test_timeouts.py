"""Nodes, and functions done once, that may take so long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from weft import (
    Limits,
    Pool,
    Prompt,
    ScriptedEngine,
    Store,
    budget,
    fan_out,
    gather,
    generate,
    node,
    once,
    program,
    run,
)
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, TimedOut, UsageError
from weft.search.answers.failures import NO_RESULT

AT_ONCE = {"attempts": 3, "first": 0}


@node(timeout=3, retry=AT_ONCE)
async def ask(question: str) -> str:
    return (await generate(Prompt.user(question))).text


@pytest.mark.loops("virtual")
async def test_calls_are_aborted_and_attempts_are_counted() -> None:
    engine = ScriptedEngine(["never" * 9, "never" * 9, "y"], token_seconds=1)
    async with Pool(engine) as pool:
        began = anyio.current_time()
        done = await run(ask, "?", pool=pool)
        assert anyio.current_time() - began == pytest.approx(3 + 3 + 2)
        assert engine.running == 0
        assert engine.cancelled == 2
        assert not pool.scheduler.in_flight
    assert done.value == "y"
    assert done.usage.calls == 3
    nodes = [one for one in done.spans.values() if one.kind == "node"]
    assert [one.status for one in nodes] == ["failed", "failed", "done"]
    assert "ask took longer than 3 s; give it less to do, or a longer timeout" in nodes[0].error
    calls = [one for one in done.spans.values() if one.kind == "call"]
    assert [one.status for one in calls] == ["cancelled", "cancelled", "done"]
    assert [one.outcome.ended_by for one in calls if one.outcome] == ["timeout", "timeout", ""]


@pytest.mark.loops("virtual")
async def test_the_error_says_what_and_when_and_is_pythons_own_too() -> None:
    @node(timeout=2)
    async def stuck() -> None:
        await anyio.sleep_forever()

    @node(timeout=2)
    def plain() -> Any:
        return 3

    with pytest.raises(UsageError, match="@node plain must be an async function"):
        await plain()
    with pytest.raises(TimeoutError) as outside:  # in a plain test, with no run around
        await stuck()
    assert isinstance(outside.value, TimedOut)
    assert isinstance(outside.value, NO_RESULT)
    assert (outside.value.name, outside.value.seconds) == ("stuck", 2)
    async with Pool(ScriptedEngine("-")) as pool:
        with pytest.raises(TimedOut, match=r"^stuck took longer than 2 s"):
            await run(stuck, pool=pool)
        kept = await gather(lambda _: stuck(), [1, 2], errors="keep")
    assert [type(one) for one in kept] == [TimedOut, TimedOut]


@pytest.mark.loops("virtual")
@pytest.mark.parametrize(
    ("outer", "timeout", "inner", "named", "seconds"),
    [
        (9.0, 2, None, "stuck took longer than 2 s", 2),
        (2.0, 9, None, "budget of 2 seconds used up", 2.5),  # with time to give its best
        (2.0, 2.25, None, "budget of 2 seconds used up", 2.25),
        (2.0, 9, 1.0, "budget of 1 seconds used up", 1.5),
        (9.0, 2, 1.75, "budget of 1.75 seconds used up", 2),
        (2.0, 3, 2.25, "budget of 2 seconds used up", 2.5),
    ],
)
async def test_what_ends_first_is_named(
    outer: float, timeout: float, inner: float | None, named: str, seconds: float
) -> None:
    @node(timeout=timeout)
    async def stuck() -> None:
        if inner is None:
            await anyio.sleep_forever()
        with budget(seconds=inner):
            await anyio.sleep_forever()

    async with Pool(ScriptedEngine("-")) as pool:
        began = anyio.current_time()
        with pytest.raises((TimedOut, BudgetExceeded), match=f"^{named}"):
            await run(stuck, pool=pool, budget=Limits(seconds=outer))
        assert seconds - 0.3 < anyio.current_time() - began <= seconds


@pytest.mark.loops("virtual")
async def test_nested_timeouts_and_an_answer_in_time() -> None:
    @node(timeout=1)
    async def inner(seconds: float) -> str:
        await anyio.sleep(seconds)
        return "in time"

    @node(timeout=5, retry=2)
    async def outer(seconds: float, turns: int) -> str:
        return [await inner(seconds) for _ in range(turns)][-1]

    async with Pool(ScriptedEngine("-")) as pool:
        assert (await run(outer, 0.9, 4, pool=pool)).value == "in time"
        with pytest.raises(TimedOut, match=r"^outer took longer than 5 s"):
            await run(outer, 0.9, 9, pool=pool)
        with pytest.raises(TimedOut, match=r"^inner took longer than 1 s"):
            await run(outer, 1.1, 1, pool=pool)


@pytest.mark.loops("virtual")
async def test_cancellation_from_outside_is_no_timeout() -> None:
    engine = ScriptedEngine(Scripted("never", hangs=True))
    async with Pool(engine) as pool:
        with anyio.move_on_after(1) as scope:
            await run(ask, "?", pool=pool)
        assert scope.cancelled_caught
        assert len(engine.requests) == 1
        assert not pool.scheduler.in_flight


async def test_an_engine_that_says_nothing_is_left_at_once() -> None:
    engine = ScriptedEngine([Scripted("never", hangs=True), "here"])

    @node(timeout=0.05, retry=AT_ONCE)
    async def impatient() -> str:
        return (await generate(Prompt.user("?"))).text

    async with Pool(engine) as pool:
        done = await run(impatient, pool=pool)
        assert not pool.scheduler.in_flight
    assert (done.value, engine.cancelled, len(engine.requests)) == ("here", 1, 2)


@node(timeout=100, retry=AT_ONCE)
async def two_sides(question: str) -> list[str]:
    async with fan_out(lambda side: ask_plainly(side), [f"{question} {n}" for n in "ab"]) as both:
        return sorted([text async for text in both])


async def ask_plainly(question: str) -> str:
    return (await generate(Prompt.user(question))).text


@program
async def careful(question: str) -> list[str]:
    first = await two_sides(question)
    return [*first, await ask_plainly("and then?")]


@pytest.mark.loops("virtual")
@pytest.mark.parametrize("id", [None, "careful"])
async def test_a_run_begun_again_meets_its_timeouts_at_once_and_pays_nothing_twice(
    tmp_path: Path, id: str | None
) -> None:
    slow, quick = Scripted("x" * 300), Scripted("fine")
    first, second, third = [quick, slow], [slow, slow], [quick, quick]
    replies = [*first, *second, *third, Scripted("n" * 1000)]
    engine, file = ScriptedEngine(replies, token_seconds=1), tmp_path / "runs.db"

    with Store(file) as store:
        async with Pool(engine, store=store) as pool:
            with anyio.move_on_after(230):  # dies in its last call
                await run(careful, "?", pool=pool, id=id)
    assert len(engine.requests) == 7
    asked: list[Any] = []
    whole: list[Any] = []
    for _ in range(2):
        engine = ScriptedEngine("then", token_seconds=1)
        with Store(file) as store:
            async with Pool(engine, store=store) as pool:
                began = anyio.current_time()
                whole.append(await run(careful, "?", pool=pool, id=id))
                assert anyio.current_time() - began < 100  # no timeout is waited for
        asked += engine.requests
    assert len(asked) == 1  # the one that was under way
    for done in whole:
        assert done.value == ["fine", "fine", "then"]
        nodes = [one.status for one in done.spans.values() if one.name == "two_sides"]
        assert nodes == ["failed", "failed", "done"]
    assert whole[0].usage == whole[1].usage
    assert whole[0].usage.cancelled == 3 * 99


@pytest.mark.loops("virtual")
@pytest.mark.parametrize("id", [None, "slow"])
async def test_a_run_that_failed_by_its_timeouts_tries_anew(id: str | None) -> None:
    slow = Scripted("x" * 20)
    engine = ScriptedEngine(["read", slow, slow, slow, "slept", slow, "y"], token_seconds=0.3)
    store = Store()

    async def works(seconds: float) -> str:
        await anyio.sleep(seconds)
        return "worked"

    async def both(question: str) -> str:
        await ask_plainly(f"before {question}")
        async with fan_out(lambda part: part(), [lambda: works(9), lambda: ask(question)]) as parts:
            texts = [text async for text in parts]
        return sorted(texts)[-1]

    async with Pool(engine, store=store) as pool:
        with pytest.raises(TimedOut, match="ask took longer than 3 s"):
            await run(both, "?", pool=pool, id=id)
        assert len(engine.requests) == 4
        done = await run(both, "?", pool=pool, id=id)
        assert (done.value, len(engine.requests)) == ("worked", 5)
        assert done.usage.calls == 2
        again = await run(both, "?", pool=pool, id=id)
        assert (again.value, len(engine.requests)) == ("worked", 5)


@pytest.mark.loops("virtual")
async def test_a_longer_timeout_asks_anew_and_a_caught_one_does_not() -> None:
    engine = ScriptedEngine(lambda r: "x" * (20 if "?" in r.messages[-1].content else 1))
    engine.token_seconds = 1

    def within(seconds: float) -> Any:
        limited = node(timeout=seconds)(ask_plainly)

        async def caught() -> str:
            try:
                return await limited("?")
            except TimedOut:
                return await ask_plainly("instead")

        return caught

    async with Pool(engine, store=Store()) as pool:
        for seconds, value, asked in ((10, "x", 2), (10, "x", 2), (12, "x", 3), (50, "x" * 20, 4)):
            assert (await run(within(seconds), pool=pool)).value == value
            assert len(engine.requests) == asked


@pytest.mark.loops("virtual")
async def test_what_is_done_once_has_a_timeout_and_one_key() -> None:
    keys: list[str] = []

    @once(timeout=2, retry=AT_ONCE)
    async def pay(dollars: int, *, key: str) -> str:
        keys.append(key)
        if len(keys) % 3:
            await anyio.sleep_forever()
        return "paid"

    async with Pool(ScriptedEngine("-"), store=Store()) as pool:
        done = await run(pay, 3, pool=pool, id="pay")
        again = await run(pay, 3, pool=pool, id="pay")
        assert done.value == again.value == "paid"
        assert len(keys) == 3
        assert len(set(keys)) == 1
        await run(pay, 3, pool=pool)  # nothing is kept, but its attempts are one payment
        assert len(keys) == 6
        assert len(set(keys)) == 2
        statuses = [one.status for one in done.spans.values() if one.kind == "node"]
        assert statuses == ["failed", "failed", "done"]


@pytest.mark.parametrize("seconds", [0, -1, True, "5", float("inf"), float("nan")])
def test_what_is_no_timeout(seconds: Any) -> None:
    for mark, says in ((node, "@node: timeout="), (once, "@once: timeout=")):
        with pytest.raises(UsageError, match=f"{says}.* must be a number of seconds above 0"):
            mark(timeout=seconds)
