"""Streams as they are on the wire, and how their two ends wait for each other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from live_service import BODIES, CHAT, GENERATING, raw_engine, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine

pytestmark = pytest.mark.loops("asyncio")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
ENDS = {
    "/v1/responses": b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
    "/v1/messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}
CREATED = b'data: {"type":"response.created","response":{"id":"resp_7"}}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def request(path: str = CHAT, version: str = "1.1", **fields: Any) -> bytes:
    body = json.dumps(BODIES[path] | {"stream": True} | fields).encode()
    head = f"POST {path} HTTP/{version}\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def good(_: bytes, writer: Any) -> None:
    """Three parts, each by itself."""
    writer.write(HEAD)
    for part in (EVENT, EVENT, DONE):
        writer.write(chunk(part))
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.write(b"0\r\n\r\n")


def unchunked(got: bytes) -> bytes:
    """A body of chunks."""
    parts, at = list[bytes](), 0
    while True:
        end = got.index(b"\r\n", at)
        length = int(got[at:end], 16)
        parts.append(got[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
        if not length:
            assert at == len(got)
            return b"".join(parts)


async def test_chunks_are_well_formed_and_the_connection_is_used_again() -> None:
    async with raw_engine(good) as engine, serving(engine.url) as service:
        async with service.connected() as (reader, writer):
            for _ in range(3):
                writer.write(request())
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readuntil(b"0\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b"transfer-encoding: chunked\r\n" in head
                assert b"connection: close" not in head
                assert unchunked(body) == EVENT + EVENT + DONE
            writer.write(request().replace(b"host:", b"connection: close\r\nhost:"))
            got = await reader.read()
            head, _, body = got.partition(b"\r\n\r\n")
            assert b"connection: close" in head
            assert unchunked(body) == EVENT + EVENT + DONE
        await until(service.idle)


async def test_requests_that_are_sent_ahead_are_answered_in_turn() -> None:
    async with raw_engine(good) as engine, serving(engine.url) as service:
        async with service.connected() as (reader, writer):
            writer.write(request() * 3)
            for _ in range(3):
                await reader.readuntil(b"\r\n\r\n")
                body = await reader.readuntil(b"0\r\n\r\n")
                assert unchunked(body) == EVENT + EVENT + DONE
        await until(service.idle)


async def test_who_speaks_http_1_0_gets_no_chunks() -> None:
    async with raw_engine(good) as engine, serving(engine.url) as service:
        async with service.connected() as (reader, writer):
            writer.write(request(version="1.0"))
            got = await reader.read()
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        assert body == EVENT + EVENT + DONE
        await until(service.idle)


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("tail", [b'data: {"choi', b"data: {}\n", b": com", b"event: x\ndata: {}"])
async def test_an_event_without_end_is_left_out_when_an_engine_breaks_off(
    path: str, tail: bytes
) -> None:
    first = CREATED if path == "/v1/responses" else EVENT
    ends = (b"", b"0\r\n\r\n")
    async with raw_engine(b"") as engine, serving(engine.url) as service:
        for number, end in enumerate(ends):

            async def reply(_: bytes, writer: Any, end: bytes = end) -> None:
                writer.write(HEAD + chunk(first))
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.write(chunk(tail[:3]) + chunk(tail[3:]) + end)
                writer.close()

            engine.reply = reply
            async with service.streaming(path, {"x-weft-program": f"p{number}"}) as response:
                got = await response.aread()
            told, _, error = got.removeprefix(first).partition(b"\n\n")
            assert told == b""
            assert error.startswith((b"data: ", b"event: error\n"))
            assert b"broke" in error
            assert (b'"id":"resp_7"' in error) == (path == "/v1/responses")
            service.inside.scheduler.dispatcher.roster.back(service.inside.scheduler.replicas[0])


@pytest.mark.parametrize("path", GENERATING)
async def test_what_an_engine_says_after_the_end_is_passed_on(path: str) -> None:
    end = ENDS.get(path, DONE)

    async def reply(_: bytes, writer: Any) -> None:
        writer.write(HEAD + chunk(EVENT) + chunk(end) + chunk(b": bye") + b"0\r\n\r\n")

    async with raw_engine(reply) as engine, serving(engine.url) as service:
        async with service.streaming(path) as response:
            assert await response.aread() == EVENT + end + b": bye"
        await until(service.idle)


async def test_a_slow_client_slows_its_engine_and_misses_nothing() -> None:
    sent = 0
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 10_000)
    most = 3_000

    async def reply(_: bytes, writer: Any) -> None:
        nonlocal sent
        writer.write(HEAD)
        while sent < most:
            writer.write(chunk(event))
            sent += 1
            await writer.drain()
        writer.write(chunk(DONE) + b"0\r\n\r\n")

    async with (
        raw_engine(reply) as engine,
        serving(engine.url) as service,
        service.connected() as (reader, writer),
    ):
        transport: Any = writer.transport
        writer.write(request())
        await reader.readuntil(b"\r\n\r\n")
        transport.pause_reading()
        await until(lambda: any(one.stuck(float("inf")) for one in service.inside.exchanges))
        before = -1
        while before != sent:  # what the sockets' buffers take
            before = sent
            await asyncio.sleep(0.1)
        assert sent < most / 2
        transport.resume_reading()
        got = bytearray()
        while not got.endswith(b"0\r\n\r\n"):
            got += await reader.read(1 << 20)
        assert unchunked(bytes(got)) == event * most + DONE
        await until(service.idle)


async def test_a_client_that_leaves_while_it_takes_nothing_ends_its_request() -> None:
    closed = asyncio.Event()

    async def reply(_: bytes, writer: Any) -> None:
        writer.write(HEAD)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(chunk(EVENT * 1000))
                await writer.drain()
        closed.set()

    async with raw_engine(reply) as engine, serving(engine.url) as service:
        async with service.connected() as (_, writer):
            transport: Any = writer.transport
            transport.pause_reading()
            writer.write(request())
            await until(lambda: any(one.stuck(float("inf")) for one in service.inside.exchanges))
            transport.abort()
        await closed.wait()
        await until(service.idle)


async def test_an_error_of_the_meter_ends_the_stream_with_an_error_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrong(Exception):
        pass

    def feed(_: object, chunk: bytes) -> bytes:
        if chunk == DONE:
            raise Wrong
        return chunk

    monkeypatch.setattr("weft.service.protocols.answers.meters.EventMeter.feed", feed)
    async with raw_engine(good) as engine, serving(engine.url) as service:
        async with service.streaming() as response:
            got = await response.aread()
        assert got.startswith(EVENT + EVENT)
        assert b"weft failed at this request" in got
        assert service.inside.scheduler.replicas[0].alive
        await until(service.idle)


async def test_a_stream_that_was_kept_open_goes_on_with_the_answer() -> None:
    engine = ScriptedEngine("Hello", model="m", token_seconds=0.1)
    with mock.running(engine) as url:
        limits = {"keepalive_seconds": 0.05}
        async with (
            serving({"spec": url, "concurrency": 1}, limits=limits) as service,
            service.streaming() as first,
            service.streaming(messages=[{"role": "user", "content": "2"}]) as second,
        ):
            got = await second.aread()
            await first.aread()
    assert got.startswith(b": keep-alive\n\n")
    assert got.count(b'"content":') >= 5
    assert got.endswith(DONE)
