"""An agent with tools over HTTP: as an engine of tokens, and as a chat endpoint."""

from __future__ import annotations

import pytest

from weft import Pool, Prompt, ScriptedEngine, ToolCall, generate, tool
from weft.backends.mock.server import running
from weft.backends.openai import OpenAIEngine
from weft.backends.scripted.engine import Scripted
from weft.backends.vllm import VLLMEngine
from weft.types import Request


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def reply(request: Request) -> Scripted:
    results = [one.content for one in request.messages if one.role == "tool"]
    if results:
        return Scripted(" and ".join(results))
    calls = [ToolCall("add", {"a": 1, "b": n}) for n in (1, 2)]
    return Scripted("I add.", tools=calls)


@pytest.mark.parametrize("kind", ["tokens", "chat"])
async def test_scripted_calls_come_over_both_protocols(kind: str):
    with running(ScriptedEngine(reply)) as url:
        chat = kind == "chat"
        engine = OpenAIEngine("scripted", f"{url}/v1", "k") if chat else VLLMEngine(url)
        async with Pool(engine):
            said = await generate(Prompt.user("q"), tools=[add])
            last = await generate(said.prompt.tools(await said.act()), tools=[add])
    assert (said.text, said.finish_reason) == ("I add.", "tool_calls")
    assert [one.arguments for one in said.calls] == [{"a": 1, "b": 1}, {"a": 1, "b": 2}]
    assert (last.text, last.calls) == ("2 and 3", ())
