"""What users' tests are given: scripts, people, virtual time."""

from __future__ import annotations

import time

import anyio
import pytest

from weft import (
    Pool,
    Prompt,
    ScriptedEngine,
    Store,
    ToolCall,
    ask_person,
    budget,
    gather,
    generate,
    program,
    run,
    sleep,
    tool,
)
from weft.errors import BudgetExceeded, RequestRejected, UsageError
from weft.testing import calls, conversation, conversations, in_virtual_time, people


@tool
async def double(number: int) -> int:
    """Double a number."""
    return 2 * number


async def agent(task: str) -> str:
    prompt = Prompt.system("Count.").user(task)
    while True:
        said = await generate(prompt, tools=[double])
        if not said.calls:
            return said.text
        prompt = said.prompt.tools(await said.act())


@pytest.mark.parametrize("takes_tokens", [True, False])
async def test_conversations_side_by_side_keep_their_scripts(takes_tokens: bool) -> None:
    script = {
        "a": [calls(("double", {"number": 2})), "four"],
        "ab": [calls(ToolCall("double", {"number": 3}), text="I see."), calls(("x", {})), "six"],
        "c": "nothing",
    }
    async with Pool(ScriptedEngine(conversations(script), takes_tokens=takes_tokens)):
        assert await gather(agent, ["a", "ab", "c", "ab", "a"]) == [
            "four", "six", "nothing", "six", "four",
        ]  # fmt: skip


async def test_a_script_that_is_too_short_says_so() -> None:
    async with Pool(ScriptedEngine(conversation(calls(("double", {"number": 2}))))):
        with pytest.raises(RequestRejected, match=r"has 1 answers for a conversation.*'4'; add it"):
            await agent("a")
    async with Pool(ScriptedEngine(conversations({"a": "x"}))):
        with pytest.raises(RequestRejected, match="no conversation for 'b'"):
            await agent("b")


@pytest.mark.parametrize("given", [("read",), "read", (("read", 3),), ()])
def test_calls_of_no_tool(given) -> None:
    with pytest.raises(UsageError, match="calls"):
        calls(*given)


@program
async def asks(times: int = 1) -> list[int]:
    return [await ask_person("How many?", "bees", returns=int) for _ in range(times)]


async def asked(answers, times: int = 1) -> list[int]:
    with people(answers) as questions:
        async with Pool(ScriptedEngine("-"), store=Store()) as pool:
            first = await run(asks, times, pool=pool, id="r")
            again = await run(asks, times, pool=pool, id="r")
    assert first.value == again.value
    assert questions == ["How many?"] * times  # a kept answer is not asked for again
    return first.value


async def test_people_answer_at_once() -> None:
    assert await asked({"How many?": "3"}) == [3]
    assert await asked({"How many?": [4, 5]}, 2) == [4, 5]
    assert await asked(lambda question, detail: 6 if detail == "bees" else 0) == [6]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "nobody in people"),
        ({"How many?": "many"}, "'many' is no answer to 'How many\\?'"),
        ({"How many?": []}, "has 0 answers"),
    ],
)
async def test_a_missing_or_wrong_answer_does_not_wait(answers, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        await asked(answers)


def test_virtual_time_passes_at_once_and_in_order() -> None:
    seen: list[str] = []

    async def later(seconds: float) -> None:
        await sleep(seconds)
        seen.append(f"{seconds:g}")

    async def main() -> float:
        began = anyio.current_time()
        async with Pool(ScriptedEngine("ten tokens", token_seconds=100)):
            await gather(later, [86400, 3600, 7200.5])
            with anyio.move_on_after(1000), budget(seconds=300):
                try:
                    await generate(Prompt.user("a"))
                except BudgetExceeded as error:
                    seen.append(error.text)
        return anyio.current_time() - began

    real = time.monotonic()
    assert in_virtual_time(main) == pytest.approx(86700, abs=1)
    assert seen[:3] == ["3600", "7200.5", "86400"]
    assert len(seen[3]) in (2, 3)
    assert time.monotonic() - real < 3600


def test_virtual_time_raises_what_is_raised() -> None:
    async def main(text: str) -> None:
        await sleep(1)
        raise ZeroDivisionError(text)

    with pytest.raises(ZeroDivisionError, match="no"):
        in_virtual_time(main, "no")
