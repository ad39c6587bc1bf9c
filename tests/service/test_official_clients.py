"""The official Python clients of OpenAI and Anthropic: every endpoint, streams, tools, errors.

The same calls are made to the scripted engine itself and through `weft serve`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from service_process import serving
from waiting import PATIENCE, block_until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.script import Scripted, ToolCall
from weft.types import Request

HELLO = "Hello, what can I do for you today?"
CALLS = [ToolCall("weather", {"city": "Oslo"}), ToolCall("time", {"zone": "Europe/Oslo"})]


def answer(request: Request) -> Scripted:
    last = request.messages[-1]
    if last.role == "tool":
        return Scripted(f"They say {last.content}.")
    if last.content == "weather":
        return Scripted("Let me look.", tools=CALLS)
    if last.content == "refuse":
        return Scripted(refuses="the script refuses")
    if last.content == "slow":
        return Scripted(HELLO * 100, seconds=0.01)
    return Scripted(HELLO)


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine(answer, model="m", context=4000)


@pytest.fixture(scope="module", params=["engine", "service"])
def url(
    request: pytest.FixtureRequest,
    engine: ScriptedEngine,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    with mock.running(engine) as address:
        if request.param == "engine":
            yield address
            return
        log = tmp_path_factory.mktemp("service") / "log.txt"
        with serving(log, "--engine", address) as ours:
            yield ours


@pytest.fixture
def ours(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=PATIENCE
    ) as client:
        yield client


@pytest.fixture
def theirs(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, timeout=PATIENCE) as client:
        yield client


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": call.name, "parameters": SCHEMA}} for call in CALLS
]
RESPONSE_TOOLS: Any = [
    {"type": "function", "name": call.name, "parameters": SCHEMA, "strict": False} for call in CALLS
]
MESSAGE_TOOLS: Any = [{"name": call.name, "input_schema": SCHEMA} for call in CALLS]


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


# openai: chat completions


def test_chat(ours: openai.OpenAI) -> None:
    got = ours.chat.completions.create(model="m", messages=said("hi"))
    choice = got.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", HELLO)
    assert choice.finish_reason == "stop"
    assert got.usage
    assert got.usage.completion_tokens == len(HELLO) + 1
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
    short = ours.chat.completions.create(model="m", messages=said("hi"), max_tokens=5)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("Hello", "length")


@pytest.mark.parametrize("usage", [True, False])
def test_chat_streamed(ours: openai.OpenAI, usage: bool) -> None:
    more: Any = {"stream_options": {"include_usage": True}} if usage else {}
    stream = ours.chat.completions.create(model="m", messages=said("hi"), stream=True, **more)
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == HELLO
    assert deltas[0].role == "assistant"
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [usage]
    assert len(chunks) > len(HELLO)


@pytest.mark.parametrize("streamed", [False, True])
def test_chat_with_tools(ours: openai.OpenAI, streamed: bool) -> None:
    messages = said("weather")
    if streamed:
        with ours.chat.completions.stream(model="m", messages=messages, tools=CHAT_TOOLS) as stream:
            final = stream.get_final_completion()
    else:
        final = ours.chat.completions.create(model="m", messages=messages, tools=CHAT_TOOLS)
    choice = final.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look."
    calls: Any = choice.message.tool_calls
    found = [(call.function.name, json.loads(call.function.arguments)) for call in calls]
    assert found == [(call.name, call.arguments) for call in CALLS]
    assert calls[0].id != calls[1].id
    messages.append(choice.message.model_dump(exclude_none=True, exclude={"parsed"}))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": word}
        for call, word in zip(calls, ["rain", "noon"], strict=True)
    ]
    last = ours.chat.completions.create(model="m", messages=messages, tools=CHAT_TOOLS)
    assert last.choices[0].message.content == "They say noon."
    assert last.usage
    assert last.usage.prompt_tokens_details
    assert (last.usage.prompt_tokens_details.cached_tokens or 0) > 0


# openai: responses


def test_responses(ours: openai.OpenAI) -> None:
    got = ours.responses.create(model="m", instructions="Be kind.", input="hi")
    assert got.output_text == HELLO
    assert got.status == "completed"
    assert got.usage
    assert got.usage.output_tokens == len(HELLO) + 1
    short = ours.responses.create(model="m", input=said("hi"), max_output_tokens=5)
    assert (short.output_text, short.status) == ("Hello", "incomplete")


def test_responses_streamed(ours: openai.OpenAI) -> None:
    events = list(ours.responses.create(model="m", input="hi", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1]
    assert last.type == "response.completed"
    assert text == last.response.output_text == HELLO
    assert last.response.usage


@pytest.mark.parametrize("streamed", [False, True])
def test_responses_with_tools(ours: openai.OpenAI, streamed: bool) -> None:
    given = said("weather")
    if streamed:
        with ours.responses.stream(model="m", input=given, tools=RESPONSE_TOOLS) as stream:
            final = stream.get_final_response()
    else:
        final = ours.responses.create(model="m", input=given, tools=RESPONSE_TOOLS)
    message, *calls = final.output
    assert message.type == "message"
    found = [
        (call.name, json.loads(call.arguments)) for call in calls if call.type == "function_call"
    ]
    assert found == [(call.name, call.arguments) for call in CALLS]
    items: Any = [
        *given,
        *(item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in calls),
        *(
            {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
            for call in calls
            if call.type == "function_call"
        ),
    ]
    last = ours.responses.create(model="m", input=items, tools=RESPONSE_TOOLS)
    assert last.output_text == "They say rain."


# openai: the rest


def test_completions(ours: openai.OpenAI) -> None:
    got = ours.completions.create(model="m", prompt="hi", max_tokens=100)
    assert got.choices[0].text == HELLO
    stream = ours.completions.create(model="m", prompt="hi", max_tokens=100, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == HELLO


def test_embeddings(ours: openai.OpenAI) -> None:
    got = ours.embeddings.create(model="m", input=["one", "other", "one"])
    vectors = [row.embedding for row in got.data]
    assert [row.index for row in got.data] == [0, 1, 2]
    assert vectors[0] == vectors[2] != vectors[1]
    assert math.hypot(*vectors[1]) == pytest.approx(1, abs=1e-6)
    plain = ours.embeddings.create(
        model="m", input="one", dimensions=len(vectors[0]), encoding_format="float"
    )
    assert plain.data[0].embedding == pytest.approx(vectors[0], abs=1e-6)
    assert got.usage.prompt_tokens == len("oneotherone")


def test_models(ours: openai.OpenAI) -> None:
    assert "m" in [model.id for model in ours.models.list()]


@pytest.mark.parametrize("streamed", [False, True])
def test_errors_of_openai(ours: openai.OpenAI, streamed: bool) -> None:
    def chat(model: str, text: str) -> None:
        ours.chat.completions.create(model=model, messages=said(text), stream=streamed)

    def respond(model: str, text: str) -> None:
        ours.responses.create(model=model, input=text, stream=streamed)

    for ask in (chat, respond):
        with pytest.raises(openai.NotFoundError, match="other"):
            ask("other", "hi")
        with pytest.raises(openai.BadRequestError, match="the script refuses"):
            ask("m", "refuse")
        with pytest.raises(openai.BadRequestError, match="maximum context length is 4000"):
            ask("m", "x" * 5000)


def test_lists_of_errors_name_the_field(ours: openai.OpenAI) -> None:
    wrong: Any = "hi"
    with pytest.raises(openai.BadRequestError, match="messages"):
        ours.chat.completions.create(model="m", messages=wrong)
    wrong = 5
    with pytest.raises(openai.BadRequestError, match="input"):
        ours.responses.create(model="m", input=wrong)


def test_a_client_that_leaves(engine: ScriptedEngine, ours: openai.OpenAI) -> None:
    before = engine.cancelled
    stream = ours.chat.completions.create(model="m", messages=said("slow"), stream=True)
    next(iter(stream))
    assert engine.running == 1
    stream.close()
    block_until(lambda: not engine.running)
    assert engine.cancelled == before + 1


# anthropic


def test_messages(theirs: anthropic.Anthropic) -> None:
    got = theirs.messages.create(model="m", max_tokens=100, system="Be kind.", messages=said("hi"))
    assert [(block.type, block.text) for block in got.content if block.type == "text"] == [
        ("text", HELLO)
    ]
    assert got.stop_reason == "end_turn"
    assert got.usage.output_tokens == len(HELLO) + 1
    short = theirs.messages.create(model="m", max_tokens=5, messages=said("hi"))
    assert short.stop_reason == "max_tokens"
    stopped = theirs.messages.create(
        model="m", max_tokens=50, messages=said("hi"), stop_sequences=["what"]
    )
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "what")


def test_messages_streamed(theirs: anthropic.Anthropic) -> None:
    with theirs.messages.stream(model="m", max_tokens=100, messages=said("hi")) as stream:
        assert "".join(stream.text_stream) == HELLO
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == len(HELLO) + 1
    assert final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) > 0
    raw = theirs.messages.create(model="m", max_tokens=100, messages=said("hi"), stream=True)
    kinds = [event.type for event in raw]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("beta", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_messages_with_tools(theirs: anthropic.Anthropic, streamed: bool, beta: bool) -> None:
    api: Any = theirs.beta.messages if beta else theirs.messages
    messages = said("weather")
    fixed: Any = {"model": "m", "max_tokens": 500, "tools": MESSAGE_TOOLS}
    if streamed:
        with api.stream(**fixed, messages=messages) as stream:
            got = stream.get_final_message()
    else:
        got = api.create(**fixed, messages=messages)
    assert got.stop_reason == "tool_use"
    assert got.content[0].text == "Let me look."
    calls = got.content[1:]
    assert [(call.name, call.input) for call in calls] == [
        (call.name, call.arguments) for call in CALLS
    ]
    messages.append({"role": "assistant", "content": [b.model_dump() for b in got.content]})
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"} for call in calls]
    messages.append({"role": "user", "content": results})
    last = api.create(**fixed, messages=messages)
    assert last.content[0].text == "They say rain."


def test_count_tokens(theirs: anthropic.Anthropic) -> None:
    count = theirs.messages.count_tokens(model="m", messages=said("hi")).input_tokens
    more = theirs.messages.count_tokens(
        model="m", messages=said("hi"), system="Be kind.", tools=MESSAGE_TOOLS
    )
    assert 0 < count < more.input_tokens
    used = theirs.messages.create(model="m", max_tokens=9, messages=said("hi")).usage
    assert used.input_tokens + (used.cache_read_input_tokens or 0) == count


@pytest.mark.parametrize("streamed", [False, True])
def test_errors_of_anthropic(theirs: anthropic.Anthropic, streamed: bool) -> None:
    def ask(model: str, text: str) -> None:
        theirs.messages.create(model=model, max_tokens=9, messages=said(text), stream=streamed)

    with pytest.raises(anthropic.NotFoundError, match="other") as caught:
        ask("other", "hi")
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == "error"
    with pytest.raises(anthropic.BadRequestError, match="the script refuses"):
        ask("m", "refuse")
    with pytest.raises(anthropic.BadRequestError, match="4000"):
        ask("m", "x" * 5000)
    wrong: Any = "hi"
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        theirs.messages.create(model="m", max_tokens=9, messages=wrong)
