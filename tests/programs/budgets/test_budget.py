import anyio
import pytest

from weft import Limits, Pool, Prompt, ScriptedEngine, budget, generate, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, UsageError
from weft.types import Price

Q = Prompt.user("q")  # three tokens on the scripted engine


async def test_an_answer_ends_where_the_budget_does():
    engine = ScriptedEngine("x" * 1000)
    async with Pool(engine):
        with budget(tokens=50) as limit:
            with pytest.raises(BudgetExceeded) as caught:
                await generate(Q)
            assert caught.value.resource == "tokens"
            assert caught.value.text == "x" * 47
            assert engine.running == 0
            with pytest.raises(BudgetExceeded):
                await generate(Q)
        assert limit.spent.total == 50
        assert limit.spent.cancelled == 47
        assert limit.late == 0
        assert len(engine.requests) == 1


async def test_an_engine_that_minds_no_limit_is_aborted():
    engine = ScriptedEngine(Scripted("x" * 7, endless=True))
    async with Pool(engine):
        with budget(tokens=50) as limit, pytest.raises(BudgetExceeded, match="50 tokens") as caught:
            await generate(Q)
        assert engine.cancelled == 1
        # It gives seven tokens at once, so some come late.
        assert limit.spent.total == 52
        assert limit.late == 2
        assert caught.value.text == "x" * 49


async def test_budgets_nest_and_the_inner_one_leaves_the_outer_going():
    async with Pool(ScriptedEngine("x" * 20)):
        with budget(tokens=200) as outer:
            with budget(tokens=10), pytest.raises(BudgetExceeded, match="10 tokens"):
                await generate(Q)
            spent = outer.spent.total
            assert spent >= 10
            await generate(Q)
            assert outer.spent.total == spent + 3 + 21


async def test_the_outer_budget_stops_calls_of_the_inner():
    async with Pool(ScriptedEngine("x" * 1000)):
        with budget(tokens=20), budget(tokens=500), pytest.raises(BudgetExceeded, match="20 tok"):
            await generate(Q)


async def test_calls_beyond_the_limit_are_refused():
    engine = ScriptedEngine("x")
    async with Pool(engine):
        with budget(calls=2) as limit:
            await generate(Q)
            await generate(Q)
            with pytest.raises(BudgetExceeded, match="2 calls"):
                await generate(Q)
        assert limit.spent.calls == len(engine.requests) == 2


async def test_a_prompt_that_does_not_fit_is_never_sent():
    engine = ScriptedEngine("x")
    async with Pool(engine):
        with budget(tokens=10), pytest.raises(BudgetExceeded):
            await generate(Prompt.user("long" * 10))
    assert not engine.requests


async def test_dollars_follow_the_engines_price():
    price = Price(prompt=1e6, completion=2e6)  # one dollar a prompt token, two a generated one
    async with Pool(ScriptedEngine("xx", price=price)):
        with budget(dollars=20) as limit:
            await generate(Q)
            assert limit.spent.dollars == pytest.approx(3 + 2 * 3)
            await generate(Q)
            with pytest.raises(BudgetExceeded, match="20 dollars"):
                await generate(Q)
            assert limit.spent.dollars == pytest.approx(18)


async def test_dollars_without_a_price_are_refused():
    async with Pool(ScriptedEngine("x", name="free")):
        with pytest.raises(UsageError, match="engine free has none"), budget(dollars=1):
            pass


@pytest.mark.loops("virtual")
async def test_seconds_stop_calls_where_they_are_awaited():
    engine = ScriptedEngine({"q": Scripted(hangs=True)})
    async with Pool(engine):
        best = None
        with budget(seconds=5):
            try:
                await generate(Q)
            except BudgetExceeded as error:
                best = error.resource
        assert best == "seconds"
        assert engine.cancelled == 1


async def test_seconds_cancel_a_tool_that_never_returns():
    async with Pool(ScriptedEngine("x")):
        with pytest.raises(BudgetExceeded, match="seconds"), budget(seconds=0.05):
            await anyio.sleep_forever()


async def test_run_takes_limits_and_counts_cancelled_tokens():
    async def two() -> str:
        try:
            with budget(tokens=30):
                await generate(Prompt.user("long"))
        except BudgetExceeded:
            pass
        return (await generate(Prompt.user("short"))).text

    engine = ScriptedEngine({"long": "x" * 100, "short": "ok"})
    async with Pool(engine) as pool:
        result = await run(two, pool=pool, budget=Limits(calls=2))
        assert result.value == "ok"
        assert result.usage.cancelled > 20
        assert result.usage.completion == 3
        assert result.usage.calls == 2
        with pytest.raises(BudgetExceeded, match="1 calls"):
            await run(two, pool=pool, budget=Limits(calls=1))


@pytest.mark.parametrize("limits", [{"tokens": 0}, {"calls": -1}, {"seconds": 0}, {"dollars": 0}])
def test_a_limit_must_be_above_zero(limits):
    with pytest.raises(UsageError, match=f"budget {next(iter(limits))}=.* above 0"):
        budget(**limits)
