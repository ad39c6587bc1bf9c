"""Answers that engines give in an unusual way, though they are answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import pytest

from live_service import BODIES, CHAT, LiveService, answered, raw_engine, serving
from waiting import until

pytestmark = pytest.mark.loops("asyncio")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
LIVES = b": working\n\n"
CUT = b"cut"  # the connection
OVER = b"0\r\n\r\n"
NAMED = {"x-weft-program": "p"}
CALL = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
WHOLE: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "a",
                "tool_calls": [CALL],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}


def parts(*sent: bytes) -> Any:
    """A chunked stream of these parts."""

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for part in sent:
            if part == CUT:
                writer.close()
                return
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(OVER)

    return reply


def chat_only(answer: bytes) -> Any:
    async def reply(sent: bytes, writer: asyncio.StreamWriter) -> None:
        known = sent.startswith(b"POST /v1/chat/completions ")
        writer.write(answer if known else answered(404, b'{"detail":"Not Found"}'))

    return reply


def calls(service: LiveService) -> list[tuple[int, str]]:
    records = service.inside.registry.programs["p"].calls
    return [(call.status, call.outcome) for call in records]


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ([EVENT, FINISH], EVENT + FINISH + DONE),
        ([EVENT, FINISH, DONE.strip()], EVENT + FINISH + DONE),
        ([EVENT, FINISH, DONE, CUT], EVENT + FINISH + DONE),
        ([LIVES, LIVES, EVENT, DONE], LIVES + LIVES + EVENT + DONE),
    ],
)
async def test_an_answer_that_the_client_has_is_done(sent: list[bytes], got: bytes) -> None:
    async with raw_engine(parts(*sent)) as engine, serving(engine.url) as service:
        async with service.streaming(_headers=NAMED) as response:
            assert await response.aread() == got
        await until(service.idle)
        assert calls(service) == [(200, "done")]


async def test_a_client_that_leaves_behind_the_end_has_its_answer() -> None:
    async def slow_to_end(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"%x\r\n%b\r\n" % (len(EVENT + DONE), EVENT + DONE))
        await writer.drain()
        await asyncio.Event().wait()  # for ever

    async with raw_engine(slow_to_end) as engine, serving(engine.url) as service:
        async with service.streaming(_headers=NAMED) as response:
            async for line in response.aiter_lines():
                if "[DONE]" in line:
                    break
        await until(service.idle)
        assert calls(service) == [(200, "done")]


async def test_a_failure_behind_signs_of_life_is_tried_elsewhere() -> None:
    failed = b'data: {"error":{"message":"CUDA error","code":500}}\n\n'
    async with (
        raw_engine(b"") as one,
        raw_engine(b"") as two,
        serving(one.url, two.url) as service,
    ):
        one.reply = two.reply = parts(EVENT, DONE)
        await service.post(CHAT, NAMED, stream=True)
        first, other = (one, two) if one.asked else (two, one)
        for ill in (parts(LIVES, failed), parts(LIVES, CUT), parts(LIVES)):
            first.reply, first.asked = ill, 0
            answer = await service.post(CHAT, NAMED, stream=True)
            assert (answer.status_code, answer.content) == (200, EVENT + DONE)
            first.reply = other.reply
            for replica in service.inside.scheduler.replicas:
                service.inside.scheduler.dispatcher.roster.back(replica)
        assert {outcome for _, outcome in calls(service)} == {"done"}


async def test_who_does_not_stream_is_told_as_a_stream() -> None:
    async with (
        raw_engine(chat_only(answered(200, json.dumps(WHOLE).encode()))) as engine,
        serving(engine.url) as service,
    ):
        chat = (await service.post(CHAT, stream=True)).text.split("\n\n")
        (choice,) = json.loads(chat[0].removeprefix("data: "))["choices"]
        assert choice["delta"]["content"] == "a"
        assert choice["delta"]["tool_calls"][0] == {"index": 0, **CALL}
        assert chat[1:] == ["data: [DONE]", ""], "usage was not asked for"
        for path, last in (
            ("/v1/responses", "response.completed"),
            ("/v1/messages", "message_stop"),
        ):
            events = (await service.post(path, NAMED, stream=True)).text.strip().split("\n\n")
            assert events[-1].startswith(f"event: {last}\n")
            assert '"output_tokens":4' in "".join(events)
        assert calls(service) == [(200, "done")] * 2


@pytest.mark.parametrize("stream", [True, False])
async def test_statuses_that_are_seldom_seen(stream: bool) -> None:
    said = json.dumps(WHOLE).encode()
    moved = b"HTTP/1.1 307 Moved\r\nlocation: https://m/\r\ncontent-length: 0\r\n\r\n"
    async with raw_engine(chat_only(answered(201, said))) as engine, serving(engine.url) as service:
        answer = await service.post(CHAT, NAMED, stream=stream)
        assert answer.status_code == 200
        engine.reply = chat_only(moved)
        answer = await service.post(CHAT, NAMED, stream=stream)
        assert answer.status_code == 502
        assert (
            "sends on to 'https://m/' (307); give the address" in answer.json()["error"]["message"]
        )
        assert calls(service) == [(200, "done"), (502, "broken")]


PARTS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "so", "signature": "s"},
    {"type": "text", "text": "Hello " * 20},
    {"type": "tool_use", "id": "t", "name": "ls", "input": {"a": [1]}},
]
ITEMS: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "so"}]},
    {
        "type": "message",
        "id": "i",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Hello " * 20, "annotations": []}],
    },
    {"type": "function_call", "id": "f", "call_id": "t", "name": "ls", "arguments": '{"a":[1]}'},
]
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": PARTS}
RESPONSE = {"id": "r", "object": "response", "status": "completed", "output": ITEMS}
USAGE = {"input_tokens": 40, "output_tokens": 9}


def whole_in_its_own_form(**more: Any) -> Any:
    async def reply(sent: bytes, writer: asyncio.StreamWriter) -> None:
        said = MESSAGE | {"stop_reason": "tool_use"} if b"/v1/messages" in sent else RESPONSE
        writer.write(answered(200, json.dumps(said | more).encode()))

    return reply


async def test_whole_answers_of_other_protocols_are_told_as_their_streams() -> None:
    async with (
        raw_engine(whole_in_its_own_form(usage=USAGE)) as engine,
        serving(engine.url) as service,
    ):
        url = f"http://127.0.0.1:{service.port}"
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k") as client:
            asked: Any = BODIES["/v1/messages"] | {"extra_headers": NAMED}
            async with client.messages.stream(**asked) as events:
                message = await events.get_final_message()
                assert events.request_id  # which is a header of its own there
        told = [one.model_dump(include=set(PARTS[i])) for i, one in enumerate(message.content)]
        assert (told, message.stop_reason) == (PARTS, "tool_use")
        # By hand: OpenAI's client takes more than a second to learn the types of all events.
        sent = (await service.post("/v1/responses", NAMED, stream=True)).text
        pieces = [json.loads(line[6:]) for line in sent.splitlines() if line.startswith("data: ")]
        assert [piece["sequence_number"] for piece in pieces] == list(range(len(pieces)))
        kinds = [piece["type"].removeprefix("response.") for piece in pieces]
        assert kinds[:2] == ["created", "in_progress"]
        assert kinds[-1] == "completed"
        done = [piece["item"] for piece in pieces if piece["type"].endswith("output_item.done")]
        assert [item["type"] for item in done] == [item["type"] for item in ITEMS]
        deltas = "".join(one["delta"] for one in pieces if one["type"].endswith("text.delta"))
        assert "Hello " * 20 in deltas
        assert pieces[-1]["response"]["output"] == ITEMS
        records = service.inside.registry.programs["p"].calls
        assert [(one.prompt, one.generated, one.tool) for one in records] == [(40, 9, "ls")] * 2
        assert all(one.counted for one in records)


async def test_what_an_engine_does_not_count_is_estimated_by_its_length() -> None:
    async with raw_engine(whole_in_its_own_form()) as engine, serving(engine.url) as service:
        for path in ("/v1/messages", "/v1/responses"):
            for stream in (False, True):
                await service.post(path, NAMED, stream=stream)
        engine.reply = parts(*[EVENT.replace(b'"a"', b'"%b"' % (b"Hello " * 10))] * 2, DONE)
        await service.post(CHAT, NAMED, stream=True)
        await until(service.idle)
        view = (await service.http.get("/v1/programs/p")).json()
        calls = view["graph"]["nodes"]
        assert [one["estimated"] for one in calls] == [True] * 5
        assert view["generated"] == sum(one["generated"] for one in calls)
        for one in calls:
            assert 20 <= one["generated"] <= 60, "about 120 bytes"
        lengths = service.inside.conversations.lengths
        assert lengths.dump()["text"] == {}, "estimates teach nothing"
