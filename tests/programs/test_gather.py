from typing import Any

import anyio
import anyio.lowlevel
import pytest

from weft import Pool, Prompt, ScriptedEngine, gather, generate, node, run
from weft.backends.scripted.engine import Scripted
from weft.errors import RequestRejected, UsageError


@node
async def look_up(query: str) -> str:
    return (await generate(Prompt.user(query))).text


async def test_results_are_in_the_items_order_however_they_end():
    gates = [anyio.Event() for _ in range(4)]
    gates[3].set()

    async def wait(i: int) -> int:
        await gates[i].wait()
        gates[i - 1].set()
        return i

    async with Pool(ScriptedEngine("x")):
        assert await gather(wait, range(4)) == [0, 1, 2, 3]
        assert await gather(wait, []) == []


async def test_errors_stand_in_their_places_or_are_raised():
    engine = ScriptedEngine({"a": "1", "c": "3", "slow": Scripted(hangs=True)})
    async with Pool(engine):
        first, error, last = await gather(look_up, ["a", "b", "c"], errors="keep")
        assert (first, last) == ("1", "3")
        assert isinstance(error, RequestRejected)
        with pytest.raises(RequestRejected):
            await gather(look_up, ["slow", "b"])
        assert engine.running == 0


async def test_cancellation_is_no_error_to_keep():
    engine = ScriptedEngine({"slow": Scripted(hangs=True)})
    async with Pool(engine):
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                while engine.running < 2:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel)
                await gather(look_up, ["slow", "slow"], errors="keep")
        assert scope.cancelled_caught
        assert engine.cancelled == 2


async def test_it_is_a_fan_out_to_the_graph_and_keeps_to_its_limit():
    async def program() -> list[str]:
        return await gather(look_up, ["a", "b", "c"], limit=1)

    engine = ScriptedEngine("x")
    async with Pool(engine) as pool:
        done = await run(program, pool=pool)
    (fan,) = [span for span in done.spans.values() if span.kind == "fan_out"]
    assert (fan.name, fan.width, fan.settled) == ("look_up", 3, 3)
    assert engine.peak == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((len, ["a"]), "gather's len must be an async function"),
        ((look_up, 3), "gather takes an async function and the items"),
        (("look_up", ["a"]), "gather takes an async function and the items"),
    ],
)
async def test_what_can_not_be_gathered(arguments: Any, message: str):
    wrong: Any = "drop"
    async with Pool(ScriptedEngine("x")):
        with pytest.raises(UsageError, match=message):
            await gather(*arguments, errors="keep")
        with pytest.raises(UsageError, match="errors='drop' must be"):
            await gather(look_up, ["a"], errors=wrong)
