"""An agent with tools: what it calls is run, and what comes of it is read by the model."""

import math
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waiting import PATIENCE
from weft import (
    Completion,
    Pool,
    Prompt,
    ScriptedEngine,
    Store,
    ToolCall,
    budget,
    generate,
    once,
    program,
    run,
    tool,
)
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, UsageError
from weft.orchestrator.policy import Order, Placement, Policy, Retention
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, View
from weft.programs.tools.acting import act
from weft.programs.tools.marking import tools_of
from weft.types import Price, Request, ToolResult


@tool
async def read(path: str) -> dict[str, str]:
    """Read a file."""
    if path == "gone":
        raise FileNotFoundError(path)
    return {"path": path}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calling(*calls: ToolCall, text: str = "") -> Callable[[Request], Scripted]:
    """A script that calls tools, and says what came of them."""

    def reply(request: Request) -> Scripted:
        last = request.messages[-1]
        if last.role == "user":
            return Scripted(text, tools=calls)
        told = [m.content for m in request.messages if m.role == "tool"]
        return Scripted(" | ".join(told))

    return reply


async def agent(*tools: Any, limit: int | None = None) -> tuple[list[ToolResult], Completion]:
    said = await generate(Prompt.user("q"), tools=tools)
    results = await said.act(limit=limit)
    return results, await generate(said.prompt.tools(results), tools=tools)


ALL = (
    ToolCall("read", {"path": "a"}),
    ToolCall("read", {"path": "gone"}),
    ToolCall("add", {"a": 1, "b": "2"}),
    ToolCall("sing", {}),
    ToolCall("read", '{"path'),
    ToolCall("add"),
)


@pytest.mark.parametrize("takes_tokens", [True, False])
async def test_every_call_has_its_result_in_call_order_and_errors_are_results(takes_tokens: bool):
    engine = ScriptedEngine(calling(*ALL, text="I look."), takes_tokens=takes_tokens)
    async with Pool(engine) as pool:
        done = await run(agent, read, add, pool=pool)
    results, last = done.value
    assert [one.failed for one in results] == [False, True, False, True, True, True]
    assert [one.value for one in results if not one.failed] == [{"path": "a"}, 3]
    texts = [one.text for one in results]
    assert texts[:3] == ['{"path":"a"}', "error: FileNotFoundError: gone", "3"]
    for text, says in zip(
        texts[3:], ["unknown tool 'sing'", "are no JSON", "a: Field required; b:"], strict=True
    ):
        assert text.startswith("error: ")
        assert says in text
    assert last.text == " | ".join(texts)
    assert last.finish_reason == "stop"
    ids = [one.id for one in results]
    assert len(set(ids)) == len(ids)
    asked = engine.requests[-1].messages
    assert [m.call for m in asked if m.role == "tool"] == ids
    assert [one.id for one in asked[1].calls] == ids
    assert asked[1].content == "I look."
    if takes_tokens:  # what was generated stays, behind the tools that the template writes
        first, second = (one.tokens or () for one in engine.requests)
        answer = engine.vocabulary.encode("I look.\x02read")
        assert second[: len(first) + len(answer)] == (*first, *answer)
        assert engine.vocabulary.encode('"description": "Read a file."')[5] in first
    (failed,) = [event for event in done.events if event.kind == "failed"]
    assert f"{__file__}:" in failed.data["error"]
    assert "FileNotFoundError" in failed.data["error"]
    tools = [span.name for span in done.spans.values() if span.tool]
    assert sorted(tools) == ["add", "read", "read"]
    first_call = next(iter(done.spans))
    assert all(first_call in span.uses for span in done.spans.values() if span.tool)


async def test_the_same_by_structured_output_where_the_engine_can_not_be_told_of_tools():
    def reply(request: Request) -> str:
        if request.messages[-1].content == "q":
            return 'So: {"calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}], "answer": ""}'
        return '{"calls": [], "answer": "It is 3."}'

    engine = ScriptedEngine(reply, calls_tools=False)
    async with Pool(engine) as pool:
        results, last = (await run(agent, add, pool=pool)).value
    assert (results[0].value, last.text, last.calls) == (3, "It is 3.", ())
    first, second = engine.requests
    assert first.sampling.schema is not None
    assert not first.sampling.tools
    assert "Add two numbers." in first.messages[0].content
    assert first.messages[0].role == "system"
    assert second.messages[-1].content == f"Result of add ({results[0].id}):\n3"
    assert tuple(second.tokens or ())[: len(first.tokens or ())] == first.tokens


async def test_a_choice_holds_a_model_that_takes_tokens_by_a_schema():
    engine = ScriptedEngine('{"calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}]}')
    async with Pool(engine):
        said = await generate(Prompt.user("q"), tools=[read, add], tool_choice=add)
        assert [one.name for one in said.calls] == ["add"]
        schema: Any = engine.requests[-1].sampling.schema
        (kind,) = schema["properties"]["calls"]["items"]["anyOf"]
        assert kind["properties"]["name"]["enum"] == ["add"]
        said = await generate(Prompt.user("q"), tools=[add], tool_choice="none")
        assert not said.calls
        assert said.text.startswith('{"calls"')
        with pytest.raises(UsageError, match="tool_choice='sing' must be 'auto', 'none'"):
            await generate(Prompt.user("q"), tools=[add], tool_choice="sing")
        with pytest.raises(UsageError, match="needs tools to choose from"):
            await generate(Prompt.user("q"), tool_choice="auto")
        with pytest.raises(UsageError, match="the answer calls no tools"):
            await said.act()
        with pytest.raises(UsageError, match="there are no results to add"):
            said.prompt.tools([])


async def test_a_call_that_max_tokens_cuts_off_is_an_error_that_says_so():
    engine = ScriptedEngine(calling(ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 1})))
    async with Pool(engine):
        said = await generate(Prompt.user("q"), tools=[add], max_tokens=30)
        results = await said.act()
    assert (said.finish_reason, results[0].text) == ("length", "3")
    assert "was cut off" in results[1].text


@settings(max_examples=15)
@given(st.permutations(range(4)), st.integers(1, 4))
def test_whatever_order_tools_end_in_results_are_in_call_order(ends: list[int], limit: int):
    begun: list[int] = []

    async def main() -> None:
        doors = [anyio.Event() for _ in range(4)]

        @tool
        async def wait(n: int) -> int:
            begun.append(n)
            await anyio.lowlevel.checkpoint()
            if limit == 4:  # with fewer at once, one could wait for one that has not begun
                await doors[n].wait()
                following = ends.index(n) + 1
                if following < 4:
                    doors[ends[following]].set()
            if n == ends[0]:
                raise ValueError(n)
            return n

        doors[ends[0]].set()
        engine = ScriptedEngine(calling(*[ToolCall("wait", {"n": n}) for n in range(4)]))
        async with Pool(engine) as pool:
            results, _ = (await run(agent, wait, limit=limit, pool=pool)).value
        assert [one.value for one in results] == [None if n == ends[0] else n for n in range(4)]
        assert sorted(begun) == [0, 1, 2, 3]

    anyio.run(main, backend="asyncio")


async def test_cancellation_leaves_no_tool_running():
    running = 0
    ended, begun = threading.Event(), anyio.Event()

    @tool
    async def forever(x: int) -> None:
        nonlocal running
        running += 1
        try:
            if running == 2:
                begun.set()
            await anyio.sleep_forever()
        finally:
            running -= 1

    @tool
    def thread() -> None:
        ended.wait(PATIENCE)
        ended.set()

    calls = [ToolCall("forever", {"x": 1}), ToolCall("forever", {"x": 2}), ToolCall("thread", {})]
    async with Pool(ScriptedEngine(calling(*calls))) as pool, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: run(agent, forever, thread, pool=pool))
        with anyio.fail_after(PATIENCE):
            await begun.wait()
        tasks.cancel_scope.cancel()
        ended.set()
    assert running == 0


async def test_a_tool_that_takes_too_long_and_one_that_is_tried_again():
    tries = 0

    @tool(timeout=0.01)
    async def slow() -> None:
        await anyio.sleep_forever()

    open = threading.Event()

    @tool(timeout=0.01)
    def thread() -> None:
        open.wait(PATIENCE)

    @tool(retry={"attempts": 3, "first": 0.0})
    async def flaky() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("busy")
        return "there"

    calls = [ToolCall(name, {}) for name in ("slow", "thread", "flaky")]
    async with Pool(ScriptedEngine(calling(*calls))) as pool:
        done = await run(agent, slow, thread, flaky, pool=pool)
    open.set()
    assert [one.text for one in done.value[0]] == [
        "error: slow took longer than 0.01 s; give it less to do, or a longer timeout",
        "error: thread took longer than 0.01 s; give it less to do, or a longer timeout",
        "there",
    ]
    statuses = [span.status for span in done.spans.values() if span.name == "flaky"]
    assert statuses == ["failed", "failed", "done"]


async def test_a_tools_own_limit_holds_over_runs():
    at_once = most = 0

    @tool(limit=2)
    async def counted(n: int) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        at_once -= 1
        return n

    calls = [ToolCall("counted", {"n": n}) for n in range(5)]
    async with Pool(ScriptedEngine(calling(*calls))) as pool, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(lambda: run(agent, counted, pool=pool))
    assert most == 2


async def test_what_a_tool_costs_is_charged_and_held_to():
    begun: list[int] = []

    @tool(dollars=0.4)
    async def search(n: int) -> int:
        begun.append(n)
        return n

    calls = [ToolCall("search", {"n": n}) for n in range(3)]
    engine = ScriptedEngine(calling(*calls), price=Price(0.0, 0.0))

    async def program() -> float:
        with budget(dollars=1) as limit:
            said = await generate(Prompt.user("q"), tools=[search])
            with pytest.raises(BudgetExceeded) as error:
                await said.act()
            assert error.value.resource == "dollars"
        return limit.spent.dollars

    async with Pool(engine) as pool:
        done = await run(program, pool=pool)
    assert math.isclose(done.value, 0.8)
    assert math.isclose(done.usage.dollars, 0.8)
    assert len(begun) == 2


async def test_a_resumed_run_takes_kept_results_from_the_store_and_no_others():
    sent: list[str] = []

    @tool(keep=True, dollars=0.5)
    async def send(to: str) -> dict[str, str]:
        sent.append(to)
        return {"to": to}

    @tool
    async def look() -> str:
        sent.append("look")
        return "seen"

    calls = [ToolCall("send", {"to": "a"}), ToolCall("send", {"to": "a"}), ToolCall("look", {})]
    with Store() as store:
        values: list[Any] = []
        usages: list[Any] = []
        for _ in range(2):
            async with Pool(ScriptedEngine(calling(*calls)), store=store) as pool:
                done = await run(agent, send, look, pool=pool)
                values.append([(one.id, one.text, one.value) for one in done.value[0]])
                usages.append(done.usage)
        assert values[0] == values[1]
        assert usages[0] == usages[1]
    assert sorted(sent) == ["a", "a", "look", "look"]


async def test_the_scheduler_knows_the_tool_when_the_answer_ends_and_while_it_runs():
    class Spy(Policy):
        def __init__(self) -> None:
            self.tools: list[tuple[str, float | None]] = []

        def order(self, call: CallView, view: View) -> Order:
            return Order((), "")

        def place(self, call: CallView, view: View) -> Placement:
            return Placement(view.engines[0], "")

        def retain(self, program: Program, engine: object, view: View) -> Retention:
            self.tools.append((program.tool, program.expects))
            return Retention(math.inf, "")

    @tool(expects=20)
    async def pytests() -> str:
        return "green"

    spy = Spy()
    async with Pool(ScriptedEngine(calling(ToolCall("pytests", {}))), policy=spy) as pool:
        await run(agent, pytests, pool=pool)
    assert spy.tools[:2] == [("pytests", None), ("pytests", 20)]


async def test_calls_that_need_what_another_of_the_round_gives_are_refused():
    calls = [ToolCall("read", {"path": "a"}), ToolCall("read", {"path": "{{read.output}}"})]
    async with Pool(ScriptedEngine(calling(*calls))) as pool:
        (one, two), _ = (await run(agent, read, pool=pool)).value
    assert one.value == {"path": "a"}
    assert two.failed
    assert "argument path of read needs what call 1 of the same round" in two.text


async def test_a_tool_marked_once_is_not_run_again_and_its_key_is_not_the_models():
    sent: list[tuple[str, str]] = []

    @tool
    @once
    async def send(to: str, *, key: str) -> str:
        sent.append((to, key))
        return f"sent to {to}"

    @program
    async def mails() -> str:
        return (await agent(send))[1].text

    calls = [ToolCall("send", {"to": to}) for to in "aba"]
    with Store() as store:
        for _ in range(2):
            async with Pool(ScriptedEngine(calling(*calls))) as pool:
                done = await run(mails, pool=pool, store=store, id="mails")
                assert done.value == " | ".join(f"sent to {to}" for to in "aba")
    assert sorted(to for to, _ in sent) == ["a", "a", "b"]
    assert len({key for _, key in sent}) == 3


async def test_a_program_is_a_tool_and_a_tool_runs_outside_of_runs():
    @program
    async def research(topic: str) -> str:
        """Look a topic up."""
        return (await generate(Prompt.user(f"about {topic}"))).text

    def reply(request: Request) -> Scripted:
        last = request.messages[-1].content
        if last == "q":
            return Scripted(tools=[ToolCall("research", {"topic": "bees"})])
        return Scripted("they fly" if last == "about bees" else f"So {last}.")

    async with Pool(ScriptedEngine(reply)) as pool:
        done = await run(agent, research, pool=pool)
    assert done.value[1].text == "So they fly."
    names = [span.name for span in done.spans.values() if span.kind != "call"]
    assert names == ["research", "research"]
    alone = ToolCall("read", {"path": "a"}, "x")
    assert (await act([alone], tools_of([read])))[0].value == {"path": "a"}
