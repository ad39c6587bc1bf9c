"""What calls, budgets and runs are given by mistake is told in a sentence."""

from typing import Any, cast

import pytest
from pydantic import BaseModel, RootModel

from weft import (
    Limits,
    Pool,
    Prompt,
    ScriptedEngine,
    fan_out,
    generate,
    node,
    run,
    run_sync,
    score,
    waiting,
)
from weft.errors import OutputError, UnknownName, UsageError

pytestmark = pytest.mark.anyio


class Count(RootModel[int]):
    """A number alone."""


class Point(BaseModel):
    """An object."""

    x: int


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"temperature": float("nan")}, "temperature=nan must be a number"),
        ({"top_p": "1"}, "top_p='1' must be a number"),
        ({"stop": 5}, "stop=5 must be a text"),
        ({"stop": ["a", 5]}, "must be a text, or a list of texts"),
        ({"max_tokens": "5"}, "max_tokens='5' must be a whole number"),
        ({"max_tokens": True}, "max_tokens=True must be a whole number"),
        ({"max_tokens": [5]}, r"max_tokens=\[5\] must be a whole number"),
        ({"n": 2.5}, "n=2.5 must be a whole number"),
        ({"seed": "x"}, "seed='x' must be a whole number"),
        ({"returns": 5}, "returns=5 must be a type of which pydantic knows a schema"),
        ({"schema": []}, r"schema=\[\] must be a dict"),
        ({"index": "x"}, "index='x' must be a whole number"),
        ({"index": -1}, "index=-1 must be at least 0"),
        ({"role": 5}, "unknown role 5"),
    ],
)
async def test_settings_of_the_wrong_kind(given: dict[str, Any], says: str):
    async with Pool(ScriptedEngine("hi")):
        with pytest.raises(UsageError, match=says):
            await generate(Prompt.user("x"), **given)


@pytest.mark.parametrize(
    ("node", "items", "given", "says"),
    [
        (5, [1], {}, "fan_out takes an async function and the items to call it with, not 5"),
        (generate, 5, {}, "and 5"),
        (generate, None, {}, "and None"),
        (generate, [1], {"limit": "3"}, "fan_out limit='3' must be a whole number"),
        (generate, [1], {"limit": 1.5}, "limit=1.5 must be"),
        (generate, [1], {"quorum": True}, "fan_out quorum=True must be a whole number"),
        (generate, [1], {"quorum": 0}, "quorum=0 must be at least 1"),
    ],
)
def test_fan_outs_of_the_wrong_kind(node: Any, items: Any, given: dict[str, Any], says: str):
    with pytest.raises(UsageError, match=says):
        fan_out(node, items, **given)


@pytest.mark.parametrize("options", ["yes", [1], None, 5, [["a"]]])
async def test_options_of_the_wrong_kind(options: Any):
    async with Pool(ScriptedEngine("hi")):
        with pytest.raises(UsageError, match="must be a list of texts"):
            await score(Prompt.user("x"), options)
        nowhere: Any = "pool"
        with pytest.raises(UsageError, match="run needs an open Pool, not pool='pool'"):
            await run(score, pool=nowhere)


@pytest.mark.parametrize("given", [{"calls": 1.5}, {"tokens": True}, {"tokens": 0.5}])
def test_limits_of_the_wrong_kind(given: dict[str, Any]):
    with pytest.raises(UsageError, match="must be a"):
        Limits(**given)


@pytest.mark.parametrize(
    ("tool", "expects", "says"),
    [
        (5, None, "waiting needs the name of what is waited for, such as 'pytest', not 5"),
        ("", 1, "such as 'pytest', not ''"),
        ("pytest", "5", "waiting expects='5' must be a number of seconds above 0"),
        ("pytest", True, "expects=True must be"),
        ("pytest", float("nan"), "expects=nan must be"),
    ],
)
async def test_what_is_waited_for_is_of_the_wrong_kind(tool: Any, expects: Any, says: str):
    with pytest.raises(UsageError, match=says):
        async with waiting(tool, expects=expects):
            pass


async def test_a_coroutine_or_a_plain_function_is_no_program():
    async def program() -> None: ...

    async with Pool(ScriptedEngine("hi")) as pool:
        given: Any = program()
        with pytest.raises(UsageError, match="run takes a program and its arguments apart"):
            await run(given, pool=pool)
        plain: Any = len
        with pytest.raises(UsageError, match="len must be an async function"):
            await run(plain, "ab", pool=pool)


def test_nor_without_async():
    plain: Any = len
    with pytest.raises(UsageError, match="len must be an async function"):
        run_sync(plain, "ab", pool=ScriptedEngine("hi"))


async def test_a_number_that_was_cut_off_is_no_answer():
    async with Pool(ScriptedEngine("12345")):
        with pytest.raises(OutputError, match="cut off by max_tokens"):
            await generate(Prompt.user("x"), returns=Count, max_tokens=2)
        assert (await generate(Prompt.user("x"), returns=Count)).value.root == 12345
    async with Pool(ScriptedEngine('{"x": 4} and so on')):
        point = await generate(Prompt.user("x"), returns=Point, max_tokens=8)
        assert point.value.x == 4  # its end can be seen


@node
async def ask(text: str) -> str:
    return (await generate(Prompt.user(text))).text


async def forgets() -> object:
    return generate(Prompt.user("x"))


async def asks_itself() -> str:
    return await ask(cast(Any, ask("x")))


async def goes_on_from_an_answer() -> None:
    Prompt.user(cast(Any, await generate(Prompt.user("x"))))


async def reads_outside_the_block() -> None:
    async for _ in fan_out(ask, ["x"]):
        pass


async def calls_by_itself() -> None:
    fan_out(ask, cast(Any, [ask("x"), ask("y")]))


async def gives_one_text() -> None:
    fan_out(ask, "abc")


async def asks_a_judge() -> None:
    await generate(Prompt.user("x"), role="judge")


async def misspells() -> None:
    await generate(Prompt.user("x"), **cast(Any, {"max_token": 3}))


async def begins_with_a_text() -> None:
    Prompt(cast(Any, "x"))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (forgets, "forgets returned a call that nobody awaits; write `return await"),
        (asks_itself, "not coroutine: await the call"),
        (goes_on_from_an_answer, "not Completion; its text is .text"),
        (reads_outside_the_block, "reading a fan_out belongs within its block: `async with"),
        (calls_by_itself, "give the items, not calls of it"),
        (gives_one_text, "takes a list of items, not one text: 'abc'"),
        (asks_a_judge, r"unknown role 'judge'.* Pool\(..., roles={'judge': model}\) makes a role"),
        (misspells, "unknown setting 'max_token'; did you mean max_tokens"),
        (begins_with_a_text, "write Prompt.user"),
    ],
)
async def test_what_programs_do_by_mistake(program: Any, says: str):
    async with Pool(ScriptedEngine("y")) as pool:
        with pytest.raises(UsageError, match=says):
            await run(program, pool=pool)


async def test_arguments_that_a_program_does_not_take():
    given: Any = "runs.db"
    async with Pool(ScriptedEngine("y")) as pool:
        with pytest.raises(UsageError, match=r"given arguments .* missing .* argument: 'text'"):
            await run(ask, pool=pool)
        with pytest.raises(UsageError, match="unexpected keyword argument 'budgt'"):
            await run(ask, "x", pool=pool, budgt=3)
        with pytest.raises(TypeError, match="unsupported operand"):  # within the program
            await run(adds, pool=pool)
        with pytest.raises(UsageError, match=r"must be a Store, such as Store\('runs.db'\)"):
            await run(ask, "x", pool=pool, store=given)
        with pytest.raises(UnknownName, match="unknown model 'other'; did you mean scripted"):
            await run(ask, "x", pool=pool, roles={"solver": "other"})


async def adds() -> object:
    return cast(Any, 1) + "x"


async def test_a_plain_function_is_no_node_outside_runs_either():
    plain: Any = node(cast(Any, len))
    with pytest.raises(UsageError, match="@node len must be an async function"):
        await plain("x")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([3], "a pool takes engines, or specs such as .*, not 3"),
        ([[ScriptedEngine("x")]], r"given as Pool\(\*engines\)"),
    ],
)
def test_what_is_no_engine(arguments: list[Any], says: str):
    with pytest.raises(UsageError, match=says):
        Pool(*arguments)
    roles: Any = "judge"
    with pytest.raises(UsageError, match="roles='judge' must be a dict"):
        Pool(ScriptedEngine("x"), roles=roles)
