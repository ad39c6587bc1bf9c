import asyncio

import anyio
import pytest

from weft import Pool, Prompt, ScriptedEngine, budget, fan_out, generate, node, program, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, UsageError


@node
async def attempt(text: str) -> str:
    return (await generate(Prompt.user(text))).text


def race() -> ScriptedEngine:
    """Two that never answer and one that does."""
    hangs = Scripted(hangs=True)
    return ScriptedEngine({"slow": hangs, "fast": "done", "never": hangs})


async def test_leaving_cancels_the_rest_in_the_engine_and_counts_them():
    engine = race()

    @program
    async def first() -> str:
        async with fan_out(attempt, ["slow", "fast", "never"]) as answers:
            async for answer in answers:
                return answer
        raise AssertionError

    async with Pool(engine) as pool:
        result = await run(first, pool=pool)
        assert engine.running == 0
        assert engine.cancelled == 2
        assert pool.scheduler.in_flight == pool.scheduler.waiting == 0
    assert result.value == "done"
    assert result.usage.calls == 3
    kinds = [e.kind for e in result.events]
    assert kinds.index("fan_out") < kinds.index("call")
    assert kinds.count("cancelled") == 2 + 2  # calls and nodes; the fan-out is done


async def test_results_come_as_they_finish_and_all_of_them():
    gates = [anyio.Event() for _ in range(3)]

    async def wait(i: int) -> int:
        await gates[i].wait()
        return i

    async with Pool(ScriptedEngine("x")):
        gates[2].set()
        order: list[int] = []
        async with fan_out(wait, range(3)) as results:
            assert results.width == 3
            async for i in results:
                order.append(i)
                gates[i - 1].set()
        assert order == [2, 1, 0]
        async with fan_out(wait, []) as results:
            assert [i async for i in results] == []


async def test_a_nodes_error_is_raised_where_results_are_read():
    async with Pool(race()) as pool:

        async def bad(text: str) -> str:
            if text == "bad":
                raise KeyError("oh")
            return await attempt(text)

        async def both() -> None:
            async with fan_out(bad, ["slow", "bad"]) as results:
                async for _ in results:
                    pass

        with pytest.raises(KeyError, match="oh"):
            await both()
        assert pool.scheduler.in_flight == 0


class Odd(BaseException):
    """Nothing that `except Exception` would catch."""


@pytest.mark.parametrize("error", [SystemExit(3), Odd(), asyncio.CancelledError()], ids=type)
async def test_what_a_node_raises_ends_no_event_loop(error: BaseException) -> None:
    """Beyond a task's end, asyncio would stop, and with it whatever else runs there."""

    async def leave(_: int) -> None:
        raise error

    async def read() -> None:
        async with fan_out(leave, range(3)) as results:
            async for _ in results:
                raise AssertionError

    async with Pool(ScriptedEngine("x")):
        with pytest.raises(type(error)):
            await read()
        assert await generate(Prompt.user("go on"))


async def test_the_blocks_own_error_comes_out_as_it_is():
    async with Pool(race()):
        with pytest.raises(ZeroDivisionError):
            async with fan_out(attempt, ["slow"]):
                raise ZeroDivisionError


async def test_limit_bounds_how_many_run_at_once():
    engine = ScriptedEngine("xx", token_seconds=0.001)
    async with Pool(engine):
        async with fan_out(attempt, ["a"] * 9, limit=2) as results:
            assert len([r async for r in results]) == 9
        assert engine.peak == 2
        with pytest.raises(UsageError, match="limit=0"):
            fan_out(attempt, ["a"], limit=0)


async def test_a_budgets_end_comes_after_what_was_affordable():
    engine = ScriptedEngine("ok", token_seconds=0.001)
    async with Pool(engine):
        got: list[str] = []

        async def spend() -> None:
            async with fan_out(attempt, ["a"] * 5) as results:
                async for r in results:
                    got.append(r)

        with budget(calls=3), pytest.raises(BudgetExceeded, match="3 calls"):
            await spend()
        assert got == ["ok"] * 3
        assert len(engine.requests) == 3


async def test_cancelling_a_run_from_outside_leaves_nothing():
    engine = race()

    async def wide() -> None:
        async with fan_out(attempt, ["slow"] * 4) as results:
            async for _ in results:
                pass

    async with Pool(engine) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run(wide, pool=pool))
            while engine.running < 4:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert engine.running == 0
        assert engine.cancelled == 4
        assert pool.scheduler.in_flight == pool.scheduler.waiting == 0
