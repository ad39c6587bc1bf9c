"""Budgets on engines that take text: how long prompts are, and what a refusal costs."""

import pytest

from weft import Limits, Pool, Prompt, ScriptedEngine, budget, fan_out, generate, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, EngineBusy, RequestRejected
from weft.types import Price

pytestmark = pytest.mark.anyio


async def test_the_length_of_prompts_is_learned_where_tokens_are_short():
    async def ask(i: int) -> int:
        # Each character is a token, four times as many as are expected at first.
        return (await generate(Prompt.user(f"{i:03d}" + "x" * 497), max_tokens=20)).usage.total

    async def many() -> None:
        await ask(0)
        try:
            async with fan_out(ask, range(1, 64)) as answers:
                async for _ in answers:
                    pass
        except BudgetExceeded:
            pass

    engine = ScriptedEngine("hello", takes_tokens=False)
    async with Pool(engine) as pool:
        with budget(tokens=5000) as limit:
            result = await run(many, pool=pool)
    assert limit.spent.total == result.usage.total
    assert 4000 < result.usage.total <= 5000
    assert limit.late == 0


@pytest.mark.parametrize(
    ("first", "error"),
    [(Scripted("", status=429, retry_after=0), EngineBusy), (Scripted("", refuses="no"), None)],
)
async def test_a_refusal_costs_no_tokens(first: Scripted, error: type[Exception] | None):
    price = Price(prompt=1e6, completion=1e6)
    async with Pool(ScriptedEngine([first, "fine"], price=price)):
        with budget(tokens=120, calls=2, dollars=120) as limit:
            if error is None:
                with pytest.raises(RequestRejected):
                    await generate(Prompt.user("x" * 90), max_tokens=9)
                assert (limit.spent.calls, limit.spent.total) == (1, 0)
            answer = await generate(Prompt.user("x" * 90), max_tokens=9)
    assert answer.usage.calls == 1  # attempts that were turned down do not count
    assert limit.spent.dollars == limit.spent.total == answer.usage.total == 97
    assert limit.held.calls == limit.held.tokens == limit.held.dollars == 0


async def test_calls_that_stay_refused_use_up_a_budget_of_calls():
    async def stubborn() -> int:
        for tried in range(10):
            try:
                await generate(Prompt.user("x"))
            except RequestRejected:
                continue
            except BudgetExceeded:
                return tried
        return 10

    async with Pool(ScriptedEngine(Scripted("", refuses="no"))) as pool:
        result = await run(stubborn, pool=pool, budget=Limits(calls=3))
    assert (result.value, result.usage.calls, result.usage.total) == (3, 3, 0)


async def test_what_an_engine_did_before_it_was_lost_is_charged():
    dying = ScriptedEngine([Scripted("x" * 50, dies_after=5)], name="a")
    async with Pool(dying, ScriptedEngine("fine", name="b")):
        with budget(tokens=1000) as limit:
            answer = await generate(Prompt.user("x" * 90))
    assert answer.usage.calls == limit.spent.calls
    assert answer.usage.total == limit.spent.total
