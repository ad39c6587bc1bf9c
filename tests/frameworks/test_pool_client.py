"""OpenAI's client over a pool in this process: what all frameworks' models rest on."""

from __future__ import annotations

import math
import pickle
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import anyio
import httpx
import openai
import pytest

from waiting import until
from weft import Limits, Pool, Prompt, ScriptedEngine, Store, ToolCall, budget, generate, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, EngineUnavailable, RequestRejected, UnknownName, UsageError
from weft.frameworks.transport import ADDRESS, http_clients, pool_client
from weft.orchestrator.policy import Order, Placement, Policy, Retention
from weft.orchestrator.views import CallView, View
from weft.types import Request

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "read",
        "description": "Read a file.",
        "strict": True,
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}
ASKED: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a?"}]


def reply(request: Request) -> Scripted:
    last = request.messages[-1]
    if last.role == "tool":
        return Scripted(f"It says {last.content}.")
    return Scripted("I look.", tools=[ToolCall("read", {"path": "a"})])


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with pool_client() as client:
        yield client


async def ask(client: openai.AsyncOpenAI, messages: Any = ASKED, **more: Any) -> Any:
    return await client.chat.completions.create(model="solver", messages=messages, **more)


async def turn(client: openai.AsyncOpenAI) -> str:
    """A turn with a tool, whole."""
    said = (await ask(client, tools=[TOOL])).choices[0]
    assert said.finish_reason == "tool_calls"
    (call,) = said.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("read", '{"path": "a"}')
    # As frameworks do that read the arguments, and write them anew.
    call.function.arguments = '{"path":"a"}'
    result = {"role": "tool", "tool_call_id": call.id, "content": "A"}
    messages = [*ASKED, said.message.model_dump(), result]
    return (await ask(client, messages, tools=[TOOL])).choices[0].message.content


@pytest.mark.parametrize("takes_tokens", [True, False])
async def test_a_turn_with_a_tool_is_a_run_with_graph_usage_and_store(
    client: openai.AsyncOpenAI, takes_tokens: bool
) -> None:
    engine = ScriptedEngine(reply, takes_tokens=takes_tokens)
    async with Pool(engine, store=Store()) as pool:
        done = await run(turn, client, pool=pool)
        again = await run(turn, client, pool=pool)
    assert done.value == again.value == "It says A."
    assert len(engine.requests) == done.usage.calls == 2  # the second run paid nothing
    first, second = done.spans.values()
    assert second.follows == first.id
    sent = engine.requests
    assert sent[0].sampling.tools == (TOOL,)
    assert [one.role for one in sent[1].messages] == ["system", "user", "assistant", "tool"]
    if takes_tokens:  # the next prompt begins with the very tokens of the one before
        tokens = tuple(sent[0].tokens or ())
        assert tuple(sent[1].tokens or ())[: len(tokens)] == tokens


@pytest.mark.loops("asyncio")  # OpenAI's library leaves generators to the event loop
async def test_a_stream_gives_text_as_it_is_sure_and_then_the_calls(
    client: openai.AsyncOpenAI,
) -> None:
    async with Pool(ScriptedEngine(reply)):
        options = {"include_usage": True}
        stream = await ask(client, tools=[TOOL], stream=True, stream_options=options)
        chunks = [chunk async for chunk in stream]
    *said, ended, used = chunks
    texts = [one.choices[0].delta.content for one in said if one.choices[0].delta.content]
    assert "".join(texts) == "I look."
    assert len(texts) > 3
    (call,) = said[-1].choices[0].delta.tool_calls
    assert (call.index, call.function.name, call.function.arguments) == (0, "read", '{"path": "a"}')
    assert ended.choices[0].finish_reason == "tool_calls"
    assert (used.choices, used.usage.prompt_tokens > 0) == ([], True)


async def test_settings_reach_the_engine(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    engine = ScriptedEngine(['{"x": 1}', '{"x": 2}'], takes_tokens=False)
    async with Pool(engine):
        said = await ask(
            client,
            n=2,
            temperature=0,
            max_completion_tokens=50,
            stop=["!"],
            seed=3,
            user="me",
            parallel_tool_calls=False,
            logit_bias={"1": 1},
            extra_body={"top_k": 4},
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": schema, "strict": True},
            },
        )
        assert {one.message.content for one in said.choices} == {'{"x": 1}', '{"x": 2}'}
        used = engine.requests[0].sampling
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
        shown = [{"type": "text", "text": "What?"}, picture]
        await ask(client, [{"role": "user", "content": shown}])
    assert (used.temperature, used.max_tokens, used.stop) == (0, 50, ("!",))
    assert (used.top_k, used.schema) == (4, schema)
    assert used.extra == {"parallel_tool_calls": False, "logit_bias": {"1": 1}}
    (media,) = engine.requests[-1].messages[0].media
    assert media.url == "data:image/png;base64,AA"


async def test_errors_come_as_they_are(client: openai.AsyncOpenAI) -> None:
    engine = ScriptedEngine(
        lambda r: Scripted(refuses="no") if r.messages[0].content == "no" else "yes"
    )
    async with Pool(engine):
        with budget(calls=1):
            await ask(client)
            with pytest.raises(BudgetExceeded) as caught:
                await ask(client)
        assert isinstance(caught.value, openai.OpenAIError)
        assert str(caught.value) == "budget of 1 calls used up (1 spent)"
        kept = pickle.loads(pickle.dumps(caught.value))
        assert (type(kept), kept.resource) == (BudgetExceeded, "calls")
        with budget(tokens=1), pytest.raises(BudgetExceeded):
            await ask(client, stream=True)
        for stream in (True, False):
            with pytest.raises(RequestRejected, match="no"):
                await ask(client, [{"role": "user", "content": "no"}], stream=stream)
        with pytest.raises(UnknownName, match="unknown role or model 'solvr'; did you mean solver"):
            await client.chat.completions.create(model="solvr", messages=ASKED)
        said = await client.chat.completions.create(model="scripted", messages=ASKED)
        assert said.choices[0].message.content == "yes"
        with pytest.raises(UsageError, match=r"/v1/responses is none of what a pool answers"):
            await client.responses.create(model="solver", input="a?")
        with pytest.raises(UsageError, match="part of type 'input_audio'"):
            await ask(client, [{"role": "user", "content": [{"type": "input_audio"}]}])
        blocking, _ = http_clients()
        with pytest.raises(UsageError, match="asked without blocking"):
            blocking.get("http://pool.invalid")
        blocking.close()
    with pytest.raises(UsageError, match="no engines to call here"):
        await ask(client)


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_aborts_in_the_engine(client: openai.AsyncOpenAI, stream: bool) -> None:
    engine = ScriptedEngine(Scripted("more ", endless=True))
    read: list[object] = []

    async def one() -> None:
        said = await ask(client, stream=stream)
        async for chunk in said:
            read.append(chunk)

    async with Pool(engine) as pool, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: run(one, pool=pool))
        await until(lambda: engine.running and (len(read) > 3 or not stream))
        tasks.cancel_scope.cancel()
    assert (engine.cancelled, engine.running) == (1, 0)


async def test_leaving_a_stream_aborts_in_the_engine() -> None:
    engine = ScriptedEngine(Scripted("more ", endless=True))
    body = {"messages": ASKED, "stream": True}
    async with Pool(engine), http_clients()[1] as client:
        async with client.stream("POST", f"{ADDRESS}/chat/completions", json=body) as stream:
            assert engine.running == 1
            assert stream.headers["content-type"].startswith("text/event-stream")
        assert (engine.cancelled, engine.running) == (1, 0)


async def test_the_clients_own_timeout_holds(client: openai.AsyncOpenAI) -> None:
    engine = ScriptedEngine(Scripted(hangs=True))
    async with Pool(engine):
        with pytest.raises(openai.APITimeoutError) as caught:
            await ask(client, timeout=0.01)
        assert isinstance(caught.value.__cause__, httpx.ReadTimeout)
        assert engine.running == 0


@pytest.mark.loops("asyncio")  # OpenAI's library leaves generators to the event loop
@pytest.mark.parametrize("same", [True, False])
async def test_a_stream_goes_on_where_another_engine_says_the_same(
    client: openai.AsyncOpenAI, same: bool
) -> None:
    first = ScriptedEngine(Scripted("one two", dies_after=4), model="m", name="a")
    second = ScriptedEngine("one two" if same else "two", model="m", name="b")
    async with Pool(first, second):
        texts: list[str] = []
        differs = pytest.raises(EngineUnavailable, match="another one answers differently")
        with nullcontext() if same else differs:
            async for chunk in await ask(client, stream=True):
                texts.append(chunk.choices[0].delta.content or "")
    assert len(first.requests) == len(second.requests) == 1
    assert ("".join(texts) == "one two") is same


class Widths(Policy):
    """Notes how wide the groups are that calls come in."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def order(self, call: CallView, view: View) -> Order:
        self.seen.append((call.group.width if call.group else 1, call.siblings))
        return Order((), "")

    def place(self, call: CallView, view: View) -> Placement:
        return Placement(view.engines[0], "")

    def retain(self, program: object, engine: object, view: View) -> Retention:
        return Retention(math.inf, "")


async def test_requests_side_by_side_are_announced_as_a_fork(client: openai.AsyncOpenAI) -> None:
    policy = Widths()

    async def branches() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask, client)
        await ask(client)  # one by itself

    async with Pool(ScriptedEngine("yes"), policy=policy) as pool:
        done = await run(branches, pool=pool)
        assert policy.seen == [(3, 3), (3, 3), (3, 3), (1, 1)]
        fork, *others, alone = done.spans.values()
        assert (alone.kind, alone.parent) == ("call", None)
        assert (fork.kind, fork.width, fork.status) == ("fan_out", 3, "done")
        assert [one.parent for one in others] == [fork.id] * 3
        policy.seen.clear()
        await branches()  # outside any run, what comes at once need not belong together
        assert {width for width, _ in policy.seen} == {1}


async def test_the_calls_of_a_run_count_with_the_librarys_own(client: openai.AsyncOpenAI) -> None:
    async def both() -> str:
        text = (await generate(Prompt.user("one"))).text
        return text + (await ask(client)).choices[0].message.content

    async with Pool(ScriptedEngine("yes")) as pool:
        done = await run(both, pool=pool, budget=Limits(calls=2))
        assert (done.value, done.usage.calls) == ("yesyes", 2)
        with pytest.raises(BudgetExceeded):
            await run(both, pool=pool, budget=Limits(calls=1))
