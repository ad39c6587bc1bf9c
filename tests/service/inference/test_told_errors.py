"""Errors that engines tell in place of an answer, and what is kept of what they say."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from live_service import CHAT, GENERATING, LiveService, answered, raw_engine, serving
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.errors.told_errors import told_error

pytestmark = pytest.mark.loops("asyncio")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
TOO_LONG = {
    "object": "error",
    "message": "The input (120000 tokens) is longer than the model's context length (100000 "
    "tokens).",
    "type": "BadRequestError",
    "code": 400,
}
NAMED = {"x-weft-program": "p"}
ANSWER = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'


def event(error: Any) -> bytes:
    return b"data: %b\n\ndata: [DONE]\n\n" % json.dumps({"error": error}).encode()


def streaming(sent: bytes) -> Any:
    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + sent)
        writer.close()

    return reply


def chat_only(reply: Any) -> Any:
    async def lacking(asked: bytes, writer: asyncio.StreamWriter) -> None:
        if asked.startswith(b"POST /v1/chat/completions "):
            await reply(asked, writer)
        else:
            writer.write(answered(404, b'{"detail":"Not Found"}'))

    return lacking


def calls(service: LiveService) -> list[tuple[int, str, str]]:
    records = service.inside.registry.programs["p"].calls
    return [(call.status, call.outcome, call.error) for call in records]


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("lacking", [True, False])
async def test_a_refusal_under_the_status_200_is_one(
    path: str, stream: bool, lacking: bool
) -> None:
    whole = answered(200, json.dumps({"error": TOO_LONG}).encode())

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + event(TOO_LONG) if stream else whole)
        writer.close()

    async with raw_engine(b"") as engine, serving(engine.url) as service:
        engine.reply = chat_only(reply) if lacking else reply
        answer = await service.post(path, NAMED, stream=stream)
        assert answer.status_code == 400
        error = answer.json()["error"]
        if path == MESSAGES:
            assert error["message"] == "prompt is too long: 120000 tokens > 100000 maximum"
        else:
            assert error["code"] == "context_length_exceeded"
        said = f"the engine answered 400: {TOO_LONG['message']}"
        assert calls(service) == [(400, "refused", said)]


async def test_a_failure_at_the_beginning_of_a_stream_is_tried_elsewhere() -> None:
    failed = event({"message": "CUDA error", "type": "InternalServerError", "code": 500})
    async with (
        raw_engine(b"") as one,
        raw_engine(b"") as two,
        serving(one.url, two.url) as service,
    ):
        one.reply, two.reply = streaming(failed), streaming(ANSWER)
        for _ in range(2):
            answer = await service.post(CHAT, NAMED, stream=True)
            assert (answer.status_code, answer.content) == (200, ANSWER)
        assert {call[:2] for call in calls(service)} == {(200, "done")}
        assert one.asked == 1


FIELDS = [{"loc": ["body", "messages", 0], "msg": "Field required", "type": "missing"}]


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps({"detail": FIELDS}).encode(), "body.messages.0: Field required"),
        (b"<html>Request Entity Too Strange</html>", "Too Strange"),
        (b"", "no reason given"),
    ],
)
async def test_words_of_web_servers_are_told(path: str, body: bytes, said: str) -> None:
    async with raw_engine(answered(422, body)) as engine, serving(engine.url) as service:
        answer = await service.post(path, NAMED)
        assert answer.status_code == 422
        assert path == CHAT or said in answer.json()["error"]["message"]
        ((_, outcome, error),) = calls(service)
        assert (outcome, said in error) == ("refused", True)


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
async def test_a_code_alone_tells_of_an_overflow(path: str) -> None:
    """From an engine that speaks only chat completions, too."""
    said = {"error": {"message": "Too much.", "code": "context_length_exceeded"}}
    refusing = answered(400, json.dumps(said).encode())

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(refusing)

    async with raw_engine(b"") as engine, serving(engine.url) as service:
        engine.reply = chat_only(reply)
        error = (await service.post(path, stream=True)).json()["error"]
    if path == RESPONSES:
        assert (error["code"], error["message"]) == ("context_length_exceeded", "Too much.")
    else:
        assert re.fullmatch(r"prompt is too long: \d+ tokens > \d+ maximum", error["message"])


async def test_numbers_that_an_engine_does_not_tell_are_told() -> None:
    refusing = answered(400, b'{"error":{"message":"Exceeds the context window."}}')
    text = "word " * 120_000
    async with raw_engine(refusing) as engine, serving(engine.url) as service:

        async def message(content: str, most: int) -> str:
            fields = {"messages": [{"role": "user", "content": content}], "max_tokens": most}
            answer = await service.post(MESSAGES, **fields)
            return answer.json()["error"]["message"]

        said = re.fullmatch(
            r"prompt is too long: (\d+) tokens > 100000 maximum", await message(text, 10)
        )
        assert said is not None
        assert int(said[1]) > 100_000
        said = re.match(
            r"input length and `max_tokens` exceed context limit: (\d+) \+ 99990 > 100000,",
            await message(text[:1000], 99_990),
        )
        assert said is not None
        assert int(said[1]) < 1000
        # Nothing explains it: then the prompt is longer than it seems.
        said = re.fullmatch(
            r"prompt is too long: (\d+) tokens > 100000 maximum", await message(text[:1000], 10)
        )
        assert said is not None


async def test_what_engines_say_is_kept_but_not_all_of_it() -> None:
    words = "temperature must be at most 2; " + "x" * 5000
    refusing = answered(400, json.dumps({"error": {"message": words}}).encode())
    async with raw_engine(refusing) as engine, serving(engine.url) as service:
        for path in GENERATING:
            await service.post(path, NAMED)
        errors = [call[2] for call in calls(service)]
    assert len(errors) == len(GENERATING)
    assert all("temperature must be at most 2" in error for error in errors)
    assert all(len(error) < 1000 for error in errors)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"error": {"message": "no", "code": "429"}}, 429),
        ({"error": {"message": "no", "type": "overloaded_error"}, "type": "error"}, 529),
        ({"type": "error", "code": "invalid_prompt", "message": "no", "param": None}, 400),
        ({"type": "response.failed", "response": {"error": {"message": "no"}}}, 500),
        ({"error": "no"}, 500),
        ({"error": {"message": "no", "code": 400, "status": "INVALID_ARGUMENT"}}, 400),
        ({"error": {"message": "no", "status": "RESOURCE_EXHAUSTED"}}, 429),
        ({"error": {"message": "no", "type": "service_unavailable"}}, 503),
        ({"error": {"message": "no", "type": "request_too_large"}}, 413),
        ({"error": {"message": "no", "type": "not_found_error"}}, 404),
        ({"error": {"message": "no", "type": "permission_error"}}, 403),
    ],
)
def test_statuses_of_errors(said: dict[str, Any], status: int) -> None:
    words = told_error(said)
    assert words is not None
    assert (words.status, words.message) == (status, "no")


@pytest.mark.parametrize(
    "said",
    [
        {"error": None, "choices": []},
        {"error": None},
        {"error": {"message": "no"}, "object": "response", "status": "failed"},
        {"error": {"message": "at the end"}, "choices": [{"message": {"content": "a"}}]},
    ],
)
def test_these_are_answers(said: dict[str, Any]) -> None:
    assert told_error(said) is None


def test_the_words_are_the_engines() -> None:
    words = told_error({"error": {"message": "m", "type": "rate_limit_error", "param": "p"}})
    assert words == ErrorWords(429, "m", "rate_limit_error", None, "p")
