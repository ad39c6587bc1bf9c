"""Agents of the OpenAI Agents SDK: unchanged through `weft serve`, and over a pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from framework_ways import served
from waiting import PATIENCE, until
from weft import Limits, Pool, ScriptedEngine, Store, ToolCall, program, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded
from weft.types import Request

pytest.importorskip("agents", reason="openai-agents is not installed")
from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from pydantic import BaseModel

from weft.frameworks.openai_agents import AgentsModel, AgentsModels

pytestmark = pytest.mark.loops("asyncio")
set_tracing_disabled(True)


class Town(BaseModel):
    """A town."""

    name: str
    people: int


def reply(request: Request) -> Scripted:
    last = request.messages[-1]
    if last.content == "slow":
        return Scripted("more ", endless=True)
    if "In verse." in request.messages[0].content:
        return Scripted("A verse.")
    if last.role == "tool":
        return Scripted(f"They say {last.content}.")
    if last.content == "town":
        return Scripted('{"name": "Oslo", "people": 3}')
    if last.content == "verse":
        return Scripted(tools=[ToolCall("transfer_to_poet", {})])
    if last.content == "both":
        calls = [ToolCall("ask_poet", {"input": one}) for one in ("a", "b")]
        return Scripted(tools=calls)
    return Scripted("I look.", tools=[ToolCall("people", {"town": "Oslo"})])


@function_tool
async def people(town: str) -> int:
    """Count people."""
    return len(town)


def agent_on(model: Any) -> Agent[None]:
    poet = Agent[None](name="poet", instructions="In verse.", model=model)
    as_tool = poet.as_tool("ask_poet", "Ask the poet.")
    return Agent[None](
        name="clerk",
        instructions="Be brief.",
        model=model,
        tools=[people, as_tool],
        handoffs=[poet],
    )


@asynccontextmanager
async def model_of(way: str, engine: ScriptedEngine) -> AsyncGenerator[Any]:
    if way == "pool":
        async with Pool(engine):
            yield AgentsModel()
        return
    kind = OpenAIResponsesModel if way == "responses" else OpenAIChatCompletionsModel
    async with (
        served(engine) as (url, _),
        openai.AsyncOpenAI(base_url=url, api_key="k", timeout=PATIENCE) as client,
    ):
        yield kind("m", client)


@pytest.mark.parametrize("way", ["pool", "serve", "responses"])
async def test_tools_streams_handoffs_types_and_helpers(way: str) -> None:
    async with model_of(way, ScriptedEngine(reply, model="m")) as model:
        agent = agent_on(model)
        assert (await Runner.run(agent, "How many?")).final_output == "They say 4."
        streamed = Runner.run_streamed(agent, "How many?")
        texts = [
            event.data.delta
            async for event in streamed.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
        assert "".join(texts) == "I look.They say 4."
        assert len(texts) > 6
        handed = await Runner.run(agent, "verse")
        assert (handed.final_output, handed.last_agent.name) == ("A verse.", "poet")
        typed = await Runner.run(Agent(name="t", model=model, output_type=Town), "town")
        assert typed.final_output == Town(name="Oslo", people=3)
        assert (await Runner.run(agent, "both")).final_output == "They say A verse.."


@program
async def asking(agent: Agent[None], what: str) -> str:
    return (await Runner.run(agent, what)).final_output


async def test_an_agents_run_is_one_program() -> None:
    engine, agent = ScriptedEngine(reply, model="m"), agent_on(AgentsModel())
    async with Pool(engine, store=Store()) as pool:
        named = Agent(name="named", model="m")
        await Runner.run(named, "town", run_config=RunConfig(model_provider=AgentsModels()))
        await Runner.run(agent, "town")
        done = await run(asking, agent, "both", pool=pool)
        again = await run(asking, agent, "both", pool=pool)
    assert again.value == done.value
    assert (done.usage.calls, len(engine.requests)) == (4, 6)
    forks = [one for one in done.spans.values() if one.kind == "fan_out"]
    assert [(one.width, one.status) for one in forks] == [(2, "done")]


async def test_budgets_cut_the_agent_with_the_budgets_own_error() -> None:
    async with Pool(ScriptedEngine(reply, model="m")) as pool:
        agent = agent_on(AgentsModel())
        with pytest.raises(BudgetExceeded, match="budget of 1 calls used up"):
            await run(asking, agent, "How many?", pool=pool, budget=Limits(calls=1))


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cancelled_agent_is_aborted_in_the_engine(streamed: bool) -> None:
    engine, agent = ScriptedEngine(reply, model="m"), agent_on(AgentsModel())
    async with Pool(engine):
        if streamed:
            result = Runner.run_streamed(agent, "slow")
            async for event in result.stream_events():
                if event.type == "raw_response_event":
                    result.cancel()
        else:
            task = asyncio.create_task(Runner.run(agent, "slow"))
            await until(lambda: engine.running == 1)
            task.cancel()
            await asyncio.wait([task])
        await until(lambda: not engine.running)
    assert engine.cancelled == 1
