"""Agents of pydantic-ai: unchanged through `weft serve`, and over a pool in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from framework_ways import served
from waiting import until
from weft import Limits, Pool, ScriptedEngine, Store, ToolCall, program, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded
from weft.types import Request

pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed")
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from weft.frameworks.pydantic_ai import PydanticAIModel

pytestmark = pytest.mark.loops("asyncio")


class Town(BaseModel):
    """A town."""

    name: str
    people: int


def reply(request: Request) -> Scripted:
    last = request.messages[-1]
    if "slow" in request.messages[-1].content:
        return Scripted("more ", endless=True)
    if last.role == "tool":
        return Scripted(f"They say {last.content}.")
    if last.content == "town":
        return Scripted(tools=[ToolCall("final_result", {"name": "Oslo", "people": 3})])
    if last.content == "both":
        return Scripted(tools=[ToolCall("ask", {"what": "a"}), ToolCall("ask", {"what": "b"})])
    if last.content in ("a", "b"):
        return Scripted(last.content.upper())
    return Scripted(tools=[ToolCall("people", {"town": "Oslo"})])


def agent_on(model: Any) -> Agent[Any, str]:
    agent = Agent(model, instructions="Be brief.")
    helper = Agent(model)

    @agent.tool_plain
    async def people(town: str) -> int:
        """Count people."""
        return len(town)

    @agent.tool
    async def ask(context: RunContext[Any], what: str) -> str:
        """Ask a helper."""
        return (await helper.run(what)).output

    return agent


@asynccontextmanager
async def model_of(way: str, engine: ScriptedEngine) -> AsyncGenerator[Any]:
    if way == "pool":
        async with Pool(engine):
            yield PydanticAIModel()
        return
    async with served(engine) as (url, _), AsyncOpenAI(base_url=url, api_key="k") as client:
        yield OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))


@pytest.mark.parametrize("way", ["pool", "serve"])
async def test_tools_streams_types_and_helpers(way: str) -> None:
    engine = ScriptedEngine(reply, model="m")
    async with model_of(way, engine) as model:
        agent = agent_on(model)
        assert (await agent.run("How many?")).output == "They say 4."
        async with agent.run_stream("How many?") as stream:
            texts = [text async for text in stream.stream_text(delta=True, debounce_by=None)]
        assert "".join(texts) == "They say 4."
        assert len(texts) > 3
        typed = await Agent(model, output_type=Town).run("town")
        assert typed.output == Town(name="Oslo", people=3)
        both = await agent.run("both")
    assert both.output.startswith("They say ")
    assert both.usage.output_tokens > 0


@program
async def asking(agent: Agent[Any, str], what: str) -> str:
    return (await agent.run(what)).output


async def test_an_agents_run_is_one_program() -> None:
    engine, agent = ScriptedEngine(reply, model="m"), agent_on(PydanticAIModel())
    async with Pool(engine, store=Store()) as pool:
        done = await run(asking, agent, "both", pool=pool)
        again = await run(asking, agent, "both", pool=pool)
    assert again.value == done.value
    assert (done.usage.calls, len(engine.requests)) == (4, 4)
    forks = [one for one in done.spans.values() if one.kind == "fan_out"]
    assert [(one.width, one.status) for one in forks] == [(2, "done")]
    inside = [one for one in done.spans.values() if one.parent == forks[0].id]
    assert len(inside) == 2  # the two helpers


async def test_budgets_cut_the_agent_with_the_budgets_own_error() -> None:
    agent = agent_on(PydanticAIModel())
    async with Pool(ScriptedEngine(reply, model="m")) as pool:
        with pytest.raises(BudgetExceeded, match="budget of 1 calls used up"):
            await run(asking, agent, "How many?", pool=pool, budget=Limits(calls=1))

        async def streamed() -> None:
            async with agent.run_stream("slow") as stream:
                async for _ in stream.stream_text():
                    pass

        with pytest.raises(BudgetExceeded, match="budget of 1000 tokens used up"):
            await run(streamed, pool=pool, budget=Limits(tokens=1000))


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_agent_is_aborted_in_the_engine(streamed: bool) -> None:
    engine, agent = ScriptedEngine(reply, model="m"), agent_on(PydanticAIModel())
    came: list[str] = []

    async def one() -> None:
        if not streamed:
            await agent.run("slow")
        async with agent.run_stream("slow") as stream:
            async for text in stream.stream_text(delta=True):
                came.append(text)

    async with Pool(engine):
        task = asyncio.create_task(one())
        await until(lambda: engine.running == 1 and (came or not streamed))
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: not engine.running)
    assert engine.cancelled == 1
