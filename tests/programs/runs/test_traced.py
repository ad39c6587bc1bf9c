"""Spans of runs, as OpenTelemetry's SDK gets them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from waiting import until
from weft import (
    Limits,
    Pool,
    Prompt,
    ScriptedEngine,
    ToolCall,
    fan_out,
    generate,
    node,
    program,
    run,
    tool,
)
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, EngineError
from weft.types import Request


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What is exported; as a process does that calls `set_tracer_provider` once."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def tree(exporter: InMemorySpanExporter) -> dict[str, str]:
    """The name of each span's parent, by the span's own."""
    found = exporter.get_finished_spans()
    names = {one.context.span_id: one.name for one in found if one.context is not None}
    return {one.name: names.get(one.parent.span_id, "?") if one.parent else "" for one in found}


def as_any(span: Any) -> Any:
    return span


def of(exporter: InMemorySpanExporter, name: str) -> Any:
    (found,) = [one for one in exporter.get_finished_spans() if one.name == name]
    return found


@tool
async def look(path: str) -> str:
    """Look."""
    if path == "gone":
        raise FileNotFoundError(path)
    return path


@node
async def ask(path: str) -> str:
    said = await generate(Prompt.user(path), tools=[look])
    results = await said.act()
    await generate(said.prompt.tools(results), tools=[look])
    return results[0].id


@program
async def agent(path: str) -> str:
    return await ask(path)


def reply(request: Request) -> Scripted:
    last = request.messages[-1]
    if last.role == "tool":
        return Scripted("done")
    return Scripted(tools=[ToolCall("look", {"path": last.content})])


async def test_a_run_its_nodes_tools_and_calls(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("user").start_as_current_span("outside"):
        async with Pool(ScriptedEngine(reply, name="e", takes_tokens=False)) as pool:
            done = await run(agent, "a", pool=pool)
    assert tree(spans) == {
        "outside": "",
        "invoke_agent agent": "outside",
        "ask": "invoke_agent agent",
        "chat scripted": "ask",
        "execute_tool look": "ask",
    }
    first, last = [as_any(one) for one in spans.get_finished_spans() if one.name == "chat scripted"]
    assert first.kind == SpanKind.CLIENT
    said: Any = last.attributes
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == "scripted"
    assert said["gen_ai.usage.output_tokens"] == len("done") + 1
    assert (said["weft.engine"], said["weft.call.attempts"]) == ("e", 1)
    assert said["weft.call.outcome"] == "done"
    assert said["weft.placement.reason"]
    assert "gen_ai.response.time_to_first_chunk" in said
    tool_said = of(spans, "execute_tool look").attributes
    assert tool_said["gen_ai.tool.name"] == "look"
    assert tool_said["gen_ai.tool.call.id"] == done.value
    root = of(spans, "invoke_agent agent")
    assert root.attributes["gen_ai.usage.input_tokens"] == done.usage.prompt
    assert root.attributes["weft.program.calls"] == 2
    assert root.attributes["gen_ai.conversation.id"] == said["gen_ai.conversation.id"]
    assert root.start_time <= first.start_time <= first.end_time <= last.start_time
    assert last.end_time <= root.end_time


async def test_what_fails_and_what_is_cut(spans: InMemorySpanExporter) -> None:
    async with Pool(ScriptedEngine(reply)) as pool:
        await run(agent, "gone", pool=pool)
        failed = of(spans, "execute_tool look")
        assert failed.status.status_code == StatusCode.ERROR
        assert failed.attributes["error.type"] == "FileNotFoundError"
        assert not failed.events  # what errors say is in no span
        spans.clear()
        with pytest.raises(BudgetExceeded):
            await run(agent, "a", pool=pool, budget=Limits(calls=1))
    root = of(spans, "invoke_agent agent")
    assert root.status.status_code == StatusCode.ERROR
    assert root.attributes["error.type"] == "BudgetExceeded"
    assert [event.name for event in root.events] == ["budget"]
    spans.clear()
    async with Pool(ScriptedEngine(Scripted(refuses="no"))) as pool:
        with pytest.raises(EngineError):
            await run(agent, "a", pool=pool)
    call = of(spans, "chat scripted")
    assert call.status.status_code == StatusCode.ERROR
    assert call.attributes["error.type"] == "RequestRejected"
    assert call.attributes["weft.call.outcome"] == "broken"
    assert "no" not in str(call.attributes.values())


async def test_what_is_cancelled_is_no_error(spans: InMemorySpanExporter) -> None:
    engine = ScriptedEngine({"slow": Scripted(hangs=True), "quick": "yes"})

    async def either(text: str) -> str:
        return (await generate(Prompt.user(text))).text

    async def race() -> None:
        async with fan_out(either, ["slow", "quick"], quorum=1) as answers:
            async for _ in answers:
                await until(lambda: engine.running == 1)

    async with Pool(engine) as pool:
        await run(race, pool=pool)
        calls = [one for one in spans.get_finished_spans() if one.name == "chat scripted"]
        ended: Any = {one.attributes["weft.call.outcome"]: one for one in calls if one.attributes}
        assert set(ended) == {"done", "cancelled"}
        assert ended["cancelled"].status.status_code == StatusCode.UNSET
        assert ended["cancelled"].attributes["error.type"] == "cancelled"
        assert tree(spans)["chat scripted"] == "fan_out either"
        assert of(spans, "fan_out either").attributes["weft.fan_out.width"] == 2
        spans.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: run(either, "slow", pool=pool))
            await until(lambda: engine.running == 1)
            tasks.cancel_scope.cancel()
    root = of(spans, "invoke_agent either")
    assert root.attributes["weft.program.end"] == "cancelled"
    assert root.status.status_code == StatusCode.UNSET


async def test_a_run_in_a_run_is_a_part_of_it(spans: InMemorySpanExporter) -> None:
    async with Pool(ScriptedEngine("yes")) as pool:

        @program
        async def inner() -> str:
            return (await generate(Prompt.user("?"))).text

        async def outer() -> str:
            return (await run(inner, pool=pool)).value

        await run(outer, pool=pool)
    assert tree(spans) == {
        "invoke_agent outer": "",
        "invoke_agent inner": "invoke_agent outer",
        "chat scripted": "invoke_agent inner",
    }


def test_nothing_is_imported_and_nothing_traced_unless_asked_for() -> None:
    code = (
        "import sys, anyio\n"
        "from weft import Pool, Prompt, ScriptedEngine, generate, run\n"
        "async def one(): return (await generate(Prompt.user('?'))).text\n"
        "async def main():\n"
        "    async with Pool(ScriptedEngine('yes')) as pool: await run(one, pool=pool)\n"
        "anyio.run(main)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_without_a_provider_of_spans_no_journal_is_listened_to() -> None:
    async with Pool(ScriptedEngine("yes")) as pool:
        done = await run(agent_of_one, pool=pool)
    assert done.value == "yes"
    assert not trace.get_current_span().is_recording()


async def agent_of_one() -> str:
    assert not trace.get_current_span().is_recording()
    return (await generate(Prompt.user("?"))).text
