"""Budgets bound what is spent, whatever runs at once; reruns take the same course for nothing."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest

from weft import Limits, Pool, Prompt, ScriptedEngine, Store, budget, fan_out, generate, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, UsageError
from weft.programs.history.event_file import EVENTS, about_call, read_events, write_events
from weft.types import Price


async def ask(i: int) -> str:
    return (await generate(Prompt.user(f"{i:03d}" + "x" * 95), max_tokens=50)).text


async def as_many_as_fit(n: int) -> list[str]:
    got: list[str] = []
    try:
        async with fan_out(ask, range(n)) as results:
            async for text in results:
                got.append(text)
    except BudgetExceeded:
        pass
    return got


@pytest.mark.parametrize("n", [3, 16])
@pytest.mark.parametrize(
    "limits", [Limits(tokens=350), Limits(calls=3), Limits(dollars=350), Limits(dollars=320)]
)
async def test_what_is_affordable_does_not_depend_on_how_much_is_asked(n, limits):
    engine = ScriptedEngine("hello", price=Price(prompt=1e6, completion=1e6))
    async with Pool(engine) as pool:
        done = await run(as_many_as_fit, n, pool=pool, budget=limits)
    assert len(done.value) == 3
    assert done.usage.total <= 350
    assert engine.cancelled == 0


async def test_lost_attempts_are_charged_as_the_usage_says():
    price = Price(prompt=100, completion=10_000)
    dying = ScriptedEngine([Scripted("x" * 99, dies_after=50)], name="a", price=price)
    well = ScriptedEngine("y" * 10, name="b", price=price)
    async with Pool(dying, well) as pool:

        async def twice():
            with budget(Limits(dollars=100)) as limit:
                for _ in range(2):
                    await generate(Prompt.user("q"))
            return limit.spent

        done = await run(twice, pool=pool)
    assert done.value.total == done.usage.total
    assert done.usage.cancelled == 50
    assert done.value.dollars == pytest.approx(done.usage.dollars)


async def test_a_run_inside_a_run_is_its_part():
    async def inner():
        for i in range(5):
            await ask(i)

    async def outer():
        with pytest.raises(BudgetExceeded, match="2 calls"):
            await run(inner, pool=pool)

    async with Pool(ScriptedEngine("ok")) as pool:
        done = await run(outer, pool=pool, budget=Limits(calls=2))
    assert done.usage.calls == 2
    assert sum(e.kind == "done" and "outcome" in e.data for e in done.events) == 2


@pytest.mark.parametrize("limits", [Limits(tokens=260), Limits(calls=2)])
async def test_a_rerun_takes_the_same_course_and_pays_nothing(limits):
    engine = ScriptedEngine("hello" * 5)
    async with Pool(engine, store=Store()) as pool:
        first = await run(as_many_as_fit, 6, pool=pool, budget=limits)
        sent = len(engine.requests)
        again = await run(as_many_as_fit, 6, pool=pool, budget=limits)
        assert len(engine.requests) == sent
    assert again.value == first.value
    assert again.usage == first.usage


async def test_what_a_refusal_cancelled_is_not_sent_by_a_rerun():
    """A sample in flight was cancelled, since what it had cost left no room for another."""

    def reply(request):
        return Scripted("hello" * (50 if len(engine.requests) == 2 else 1), seconds=0.005)

    async def samples() -> str:
        try:
            await generate(Prompt.user("q"), max_tokens=250, n=5)
        except BudgetExceeded as error:
            return error.resource
        return "none"

    engine = ScriptedEngine(reply)
    async with Pool(engine, store=Store()) as pool:
        first = await run(samples, pool=pool, budget=Limits(calls=3))
        again = await run(samples, pool=pool, budget=Limits(calls=3))
    assert first.usage.cancelled > 0
    assert len(engine.requests) == 3
    assert again.value == first.value == "calls"
    assert again.usage == first.usage


@pytest.mark.parametrize("takes_tokens", [True, False])
@pytest.mark.parametrize("unit", ["tokens", "dollars"])
async def test_what_was_refused_is_refused_by_a_rerun(takes_tokens, unit):
    """At once, by what is known of the prompt, though other results are still to come."""

    async def two() -> list[str]:
        limits: dict[str, Any] = {unit: 24}
        with budget(**limits):
            found = [(await generate(Prompt.user("x" * 10), max_tokens=8)).text]
            try:
                await generate(Prompt.user("y" * 4), max_tokens=8)
            except BudgetExceeded as error:
                found.append(error.resource)
            return found

    async def both() -> list[str]:
        return [*await two(), (await generate(Prompt.user("z"), max_tokens=8)).text]

    stored, runs = Store(), []
    for _ in range(2):  # with nothing known of the model but what the Store has
        engine = ScriptedEngine(
            "y" * 8, takes_tokens=takes_tokens, price=Price(prompt=1e6, completion=1e6)
        )
        async with Pool(engine, store=stored) as pool:
            done = await run(both, pool=pool)
            runs.append((done.value, done.usage.total, [e.kind for e in done.events]))
    assert runs[0][0] == ["y" * 8, unit, "y" * 8]
    assert not engine.requests
    assert runs[0][:2] == runs[1][:2]


@pytest.mark.parametrize("unit", ["tokens", "dollars"])
async def test_a_rerun_with_less_ends_where_it_would_have_ended(unit):
    """A stored answer that what is left does not pay for is cut off, not taken and overcharged."""

    async def one() -> str:
        try:
            return (await generate(Prompt.user("q"))).text
        except BudgetExceeded as error:
            return f"cut off: {error.text}"

    engine = ScriptedEngine("y" * 50, price=Price(prompt=1e6, completion=1e6))
    stored, found = Store(), []
    async with Pool(engine, store=stored) as kept:
        assert (await run(one, pool=kept)).usage.total == 54
        for pool in (kept, Pool(engine)):
            async with pool if pool is not kept else nullcontext():
                for most in (20, 53, 54):
                    done = await run(one, pool=pool, budget=Limits(**{unit: most}))
                    assert done.usage.total <= most
                    found.append((done.value, done.usage.total))
        sent = len(engine.requests)
        await run(one, pool=kept, budget=Limits(tokens=20), charge_stored=False)
    assert found[:3] == found[3:]
    assert sent == len(engine.requests) == 4


async def test_losers_behind_tools_are_not_sent_again():
    async def agent(i: int) -> int:
        await generate(Prompt.user(f"plan {i}"), max_tokens=40)
        await anyio.sleep(0.02)
        await generate(Prompt.user(f"act {i}"), max_tokens=40)
        return i

    async def race() -> int:
        async with fan_out(agent, range(4)) as agents:
            return await anext(agents)

    def reply(request):
        number = int(request.messages[-1].content[-1])
        return Scripted("answer", seconds=0.002 + 0.02 * ((number + 2) % 4))

    engine = ScriptedEngine(reply)
    async with Pool(engine, store=Store()) as pool:
        first = await run(race, pool=pool)
        sent = len(engine.requests)
        again = await run(race, pool=pool)
    assert again.value == first.value
    assert len(engine.requests) == sent


async def test_samples_asked_for_again_are_new_with_a_store_too():
    async def six() -> set[str]:
        return {c.text for _ in range(2) for c in await generate(Prompt.user("q"), n=3)}

    async with Pool(ScriptedEngine([f"s{i}" for i in range(9)]), store=Store()) as pool:
        assert len((await run(six, pool=pool)).value) == 6


def test_limits_come_as_one_or_as_keywords():
    assert budget(Limits(calls=2)).limits == budget(calls=2).limits
    with pytest.raises(UsageError, match="not both"):
        budget(Limits(calls=2), tokens=3)
    with pytest.raises(UsageError, match="takes Limits"):
        budget(500)  # type: ignore[arg-type]


async def test_stored_results_may_be_free():
    async with Pool(ScriptedEngine("ok"), store=Store()) as pool:
        await run(as_many_as_fit, 2, pool=pool)
        free = await run(as_many_as_fit, 2, pool=pool, budget=Limits(calls=1), charge_stored=False)
        charged = await run(as_many_as_fit, 2, pool=pool, budget=Limits(calls=1))
    assert (len(free.value), len(charged.value)) == (2, 1)


async def test_a_call_that_waited_for_its_budget_says_so(tmp_path: Path):
    async with Pool(ScriptedEngine("hello")) as pool:
        done = await run(as_many_as_fit, 2, pool=pool, budget=Limits(tokens=299))
    held = [event for event in done.events if "held" in event.data]
    assert len(held) == 1
    write_events(tmp_path / EVENTS, done.events)
    said = about_call(read_events(tmp_path / EVENTS), held[0].id)
    assert "for its budget: other calls held what it needs." in " ".join(said)
