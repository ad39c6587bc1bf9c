"""Streams in which nothing comes for a while, and what then ends them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from live_service import CHAT, GENERATING, answered, raw_engine, serving
from waiting import until
from weft.service.client.exchange import BEATS, Exchange
from weft.service.protocols.events import LONGEST

pytestmark = pytest.mark.loops("asyncio")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
COMMENT = b": keep-alive\n\n"
ENDS = {
    "/v1/responses": b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
    "/v1/messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}
DONE = b"data: [DONE]\n\n"
QUICK = {"keepalive_seconds": 0.05}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Gate:
    """An engine that sends parts one by one, each when it is told to."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)
        self.open = asyncio.Semaphore(0)

    async def __call__(self, _: bytes, writer: Any) -> None:
        for part in self.parts:
            await self.open.acquire()
            writer.write(part)
            await writer.drain()


async def comments(parts: Any, most: int = 2) -> bytes:
    """Read until so many comments have come; returns all."""
    got = b""
    while got.count(COMMENT) < most:
        got += await anext(parts)
    return got


@pytest.mark.parametrize("path", GENERATING)
async def test_comments_come_while_the_engine_is_silent(path: str) -> None:
    """Before its head, before its first event, between events, and while it holds back a part."""
    end = ENDS.get(path, DONE)
    gate = Gate(HEAD, chunk(EVENT), chunk(EVENT[:20]), chunk(EVENT[20:]), chunk(end) + b"0\r\n\r\n")
    async with raw_engine(gate) as engine, serving(engine.url, limits=QUICK) as service:
        async with service.streaming(path) as response:
            assert response.headers["x-weft-program"]
            parts = response.aiter_raw()
            got = b""
            for _ in gate.parts:
                got += await comments(parts)
                gate.open.release()
            got += b"".join([part async for part in parts])
        assert got.replace(COMMENT, b"") == EVENT + EVENT + end
        for event in got.split(b"\n\n"):  # each comment stands by itself
            assert COMMENT.strip() not in event or event == COMMENT.strip()
        await until(service.idle)


async def test_a_stream_that_flows_has_no_comments() -> None:
    async def flowing(_: bytes, writer: Any) -> None:
        writer.write(HEAD)
        for _event in range(100):
            writer.write(chunk(EVENT))
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.write(chunk(DONE) + b"0\r\n\r\n")

    slow = {"keepalive_seconds": 5}
    async with raw_engine(flowing) as engine, serving(engine.url, limits=slow) as service:
        async with service.streaming() as response:
            assert COMMENT not in await response.aread()
        await until(service.idle)


async def test_no_comment_stands_within_an_event_that_is_passed_on_in_parts() -> None:
    long = b'data: {"choices":[],"x":"' + b"y" * (5 << 20)
    gate = Gate(HEAD, chunk(long), chunk(b'"}\n\n'), chunk(DONE) + b"0\r\n\r\n")
    async with raw_engine(gate) as engine, serving(engine.url, limits=QUICK) as service:
        async with service.streaming() as response:
            parts = response.aiter_raw()
            gate.open.release()
            gate.open.release()
            got = b""
            while len(got) < LONGEST:
                got += await anext(parts)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(comments(parts, 1), 0.5)
        assert got.endswith(b"y")
        await until(service.idle)


def long_silence(exchange: Exchange) -> None:
    """As if nothing had been sent for several intervals."""
    for _ in range(4 * BEATS):
        exchange.beat()


async def test_who_reads_nothing_is_sent_no_comments() -> None:
    event, most = b"data: " + b"x" * (1 << 20) + b"\n\n", 60
    gate = Gate(HEAD, *[chunk(event)] * most)
    for _ in gate.parts:
        gate.open.release()
    async with raw_engine(gate) as engine, serving(engine.url) as service:
        async with service.streaming() as response:
            (exchange,) = service.inside.exchanges
            await until(lambda: exchange.stuck(float("inf")))
            long_silence(exchange)
            parts, left = response.aiter_raw(), len(event) * most
            while left > 0:
                part = await anext(parts)
                assert COMMENT.strip() not in part
                left -= len(part)
        await until(service.idle)


async def test_whole_answers_have_no_comments() -> None:
    gate = Gate(answered(200, b'{"choices": []}'))
    async with raw_engine(gate) as engine, serving(engine.url) as service:
        asked = asyncio.create_task(service.post())
        await until(lambda: len(service.inside.exchanges) == 1)
        (exchange,) = service.inside.exchanges
        await until(lambda: exchange.program != "")
        long_silence(exchange)
        gate.open.release()
        assert (await asked).content == b'{"choices": []}'


REFUSAL = {"message": "no such thing", "type": "BadRequestError", "param": "tools", "code": 400}


@contextlib.asynccontextmanager
async def refusing() -> AsyncGenerator[Callable[..., Awaitable[bytes]]]:
    """A function: what a client gets when an engine is silent first and then refuses."""
    async with raw_engine(b"") as engine, serving(engine.url, limits=QUICK) as service:

        async def refused(path: str, body: Any, status: int = 400) -> bytes:
            engine.reply = gate = Gate(answered(status, json.dumps(body).encode()))
            async with service.streaming(path, {"x-weft-program": "p"}) as response:
                assert response.status_code == 200
                parts = response.aiter_raw()
                got = await comments(parts)
                gate.open.release()
                got += b"".join([part async for part in parts])
            await until(service.idle)
            program = service.inside.registry.programs["p"]
            assert (program.calls[-1].status, program.calls[-1].outcome) == (status, "refused")
            assert program.errors == program.count
            return got.replace(COMMENT, b"")

        yield refused


def data_of(event: bytes) -> Any:
    return json.loads(event.partition(b"data: ")[2].split(b"\n")[0])


async def test_what_an_engine_refuses_late_keeps_its_words() -> None:
    ours = REFUSAL | {"type": "invalid_request_error"}
    async with refusing() as refused:
        for path in (CHAT, "/v1/completions"):
            event, done, rest = (await refused(path, {"error": REFUSAL})).split(b"\n\n")
            assert (done, rest) == (b"data: [DONE]", b"")
            assert data_of(event) == {"error": ours}
        first, last, rest = (await refused("/v1/responses", {"error": REFUSAL})).split(b"\n\n")
        assert rest == b""
        said = data_of(first)
        assert said["error"] == ours
        assert (said["code"], said["param"]) == (400, "tools")
        failed = data_of(last)["response"]["error"]
        assert failed == {"code": "invalid_prompt", "message": "no such thing"}

        own = {"type": "invalid_request_error", "message": "no such thing"}
        for error in (own, REFUSAL):
            got = await refused("/v1/messages", {"type": "error", "error": error})
            assert got.startswith(b"event: error\n")
            assert data_of(got) == {"type": "error", "error": own}


async def test_other_errors_keep_their_kind_in_a_stream() -> None:
    kinds = {403: "permission_error", 404: "not_found_error", 422: "invalid_request_error"}
    async with refusing() as refused:
        for status, kind in kinds.items():
            # A 404 for messages says that the engine speaks only chat.
            for path in (CHAT, "/v1/messages") if status != 404 else (CHAT,):
                got = await refused(path, {"error": {"message": "no"}}, status)
                assert data_of(got)["error"]["type"] == kind


async def test_an_overflow_that_comes_late_is_understood() -> None:
    text = (
        "This model's maximum context length is 32768 tokens. However, your prompt contains "
        "40000 input tokens, which exceeds this limit even without any output tokens."
    )
    body = {"error": REFUSAL | {"message": text, "param": "input_tokens"}}
    async with refusing() as refused:
        error = data_of(await refused(CHAT, body))["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "input_tokens")
        got = await refused("/v1/responses", body)
        failed = data_of(got.partition(b"response.failed")[2])["response"]["error"]
        assert failed["code"] == "context_length_exceeded"
        error = data_of(await refused("/v1/messages", body))["error"]
        assert error["message"] == "prompt is too long: 40000 tokens > 32768 maximum"
