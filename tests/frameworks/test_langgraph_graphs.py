"""Graphs of LangGraph: unchanged through `weft serve`, and over a pool in this process."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from framework_ways import served
from waiting import until
from weft import Limits, Pool, ScriptedEngine, Store, ToolCall, program, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, UsageError
from weft.types import Request

pytest.importorskip("langgraph", reason="langgraph is not installed")
pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Send
from pydantic import BaseModel

from weft.frameworks.langgraph import chat_model

pytestmark = pytest.mark.loops("asyncio")


class Town(BaseModel):
    """A town."""

    name: str
    people: int


def reply(request: Request) -> Scripted:
    last = request.messages[-1]
    if last.content.startswith("slow"):
        return Scripted("more ", endless=True)
    if last.role == "tool":
        return Scripted(f"They say {last.content}.")
    if last.content == "town":
        return Scripted('{"name": "Oslo", "people": 3}')
    if last.content.startswith("part"):
        return Scripted(last.content.upper())
    return Scripted("I look.", tools=[ToolCall("people", {"town": "Oslo"})])


@tool
async def people(town: str) -> int:
    """Count people."""
    return len(town)


def agent_on(model: ChatOpenAI) -> Any:
    """The graph of an agent with a tool."""
    armed = model.bind_tools([people])

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await armed.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("tools", ToolNode([people]))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    return graph.compile()


class Parts(TypedDict):
    parts: list[str]
    found: Annotated[list[str], operator.add]


def branches_on(model: ChatOpenAI) -> Any:
    """The graph of branches side by side."""

    async def one(state: Any) -> dict[str, Any]:
        return {"found": [(await model.ainvoke(state["part"])).content]}

    graph = StateGraph(Parts)
    graph.add_node("one", one)
    sends = lambda state: [Send("one", {"part": part}) for part in state["parts"]]  # noqa: E731
    graph.add_conditional_edges(START, sends, ["one"])
    graph.add_edge("one", END)
    return graph.compile()


@asynccontextmanager
async def model_of(way: str, engine: ScriptedEngine) -> AsyncGenerator[ChatOpenAI]:
    if way == "pool":
        async with Pool(engine):
            yield chat_model()
        return
    async with served(engine) as (url, _):
        settings: Any = {"base_url": url, "api_key": "k"}
        yield ChatOpenAI(model="m", **settings)


ASKED = {"messages": [("user", "How many?")]}


@pytest.mark.parametrize("way", ["pool", "serve"])
async def test_tools_streams_types_and_branches(way: str) -> None:
    async with model_of(way, ScriptedEngine(reply, model="m")) as model:
        agent = agent_on(model)
        done = await agent.ainvoke(ASKED)
        assert done["messages"][-1].content == "They say 4."
        texts = [
            piece.content
            async for piece, about in agent.astream(ASKED, stream_mode="messages")
            if about["langgraph_node"] == "ask" and piece.content
        ]
        assert "".join(texts) == "I look.They say 4."
        assert len(texts) > 6
        typed = model.with_structured_output(Town, method="json_schema")
        assert await typed.ainvoke("town") == Town(name="Oslo", people=3)
        done = await branches_on(model).ainvoke({"parts": ["part a", "part b"], "found": []})
    assert done["found"] == ["PART A", "PART B"]


@program
async def asking(graph: Any, state: Any) -> Any:
    return await graph.ainvoke(state)


async def test_a_graphs_run_is_one_program() -> None:
    engine, model = ScriptedEngine(reply, model="m"), chat_model()
    parts = {"parts": ["part a", "part b", "part c"], "found": []}
    async with Pool(engine, store=Store()) as pool:
        done = await run(asking, branches_on(model), parts, pool=pool)
        again = await run(asking, branches_on(model), parts, pool=pool)
    assert again.value == done.value
    assert done.value["found"] == ["PART A", "PART B", "PART C"]
    assert (done.usage.calls, len(engine.requests)) == (3, 3)
    forks = [one for one in done.spans.values() if one.kind == "fan_out"]
    assert [(one.width, one.status) for one in forks] == [(3, "done")]


async def test_budgets_cut_the_graph_with_the_budgets_own_error() -> None:
    model = chat_model()
    async with Pool(ScriptedEngine(reply, model="m")) as pool:
        with pytest.raises(BudgetExceeded, match="budget of 1 calls used up"):
            await run(asking, agent_on(model), ASKED, pool=pool, budget=Limits(calls=1))
        with pytest.raises(UsageError, match="await ainvoke"):
            model.invoke("part")


async def test_the_branches_of_a_cancelled_graph_are_aborted_in_the_engine() -> None:
    engine = ScriptedEngine(reply, model="m")
    parts = {"parts": ["slow a", "slow b"], "found": []}
    async with Pool(engine) as pool:
        task = asyncio.create_task(run(asking, branches_on(chat_model()), parts, pool=pool))
        await until(lambda: engine.running == 2)
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: not engine.running)
    assert engine.cancelled == 2
