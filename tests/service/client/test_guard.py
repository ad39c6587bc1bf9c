from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st

from raw_connections import connected
from weft.service.client.guard import guarded, too_deep

pytestmark = pytest.mark.loops("asyncio")

HEAD = 2048


@pytest.mark.parametrize("container", ["[{}]", '{{"a": {}}}', '[1, {{"b": [], "a": {}}}]'])
@given(levels=st.integers(1, 400))
@example(levels=248)
@example(levels=249)
@example(levels=250)
def test_what_nests_too_deeply_is_what_cannot_be_written(container: str, levels: int) -> None:
    text = "[" * 5 + "]" * 5
    for _ in range(levels):
        text = container.format(text)
    body = orjson.loads(text)
    depth = 5 + levels * (2 if "b" in container else 1)
    assert too_deep(text.encode(), body) == (depth > 254)


def test_depths_that_the_reader_takes_and_more() -> None:
    for depth, deep in ((100, False), (300, True), (1024, True)):
        text = "[" * depth + "]" * depth
        assert too_deep(text.encode(), orjson.loads(text)) == deep
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads("[" * 100_000)


def test_brackets_in_texts_and_wide_bodies_are_no_nesting() -> None:
    body = {"text": "[" * 10_000, "list": [[{}]] * 10_000, "number": 10**30, "odd": "\ud83d\ude00"}
    raw = json.dumps(body).encode()
    assert not too_deep(raw, orjson.loads(raw))


class Served:
    """What the application has seen."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.port = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def serving(seconds: float) -> AsyncGenerator[Served]:
    served = Served()
    config = uvicorn.Config(
        served,
        http=guarded(HEAD, seconds),
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # so a connection made before the server is up waits for it
        served.port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield served
        finally:
            server.should_exit = True
            await task


async def status(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, read whole; 0 if the connection ended instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    return int(head.split(b" ")[1])


def head(size: int, end: bytes = b"\r\n\r\n") -> bytes:
    start = b"GET / HTTP/1.1\r\nhost: a\r\nx: "
    return start + b"a" * (size - len(start) - len(end)) + end


async def test_heads_up_to_the_limit_pass_and_no_larger_ones() -> None:
    async with serving(30) as served:
        async with connected(served.port) as (reader, writer):
            for _ in range(3):
                writer.write(head(HEAD - 50))
                assert await status(reader) == 200
            writer.write(head(HEAD + 50))
            assert await status(reader) == 431
            assert await reader.read() == b""
        assert len(served.bodies) == 3


@pytest.mark.parametrize("line", [b"a" * 100, b"x: y\r\n"])
async def test_a_head_without_end_is_cut_off(line: bytes) -> None:
    async with serving(30) as served, connected(served.port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < 100 * HEAD:
                writer.write(line)
                sent += len(line)
                await writer.drain()
                await asyncio.sleep(0)
        assert sent < 100 * HEAD
        assert served.bodies == []


async def test_a_slow_head_is_refused_and_a_silent_connection_closed() -> None:
    async with serving(0.5) as served:
        async with connected(served.port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nhost:")
            assert await status(reader) == 408
        async with connected(served.port) as (reader, _):
            assert await reader.read() == b""
        async with connected(served.port) as (reader, writer):
            writer.write(head(200))
            assert await status(reader) == 200
            writer.write(head(200)[:-2])
            assert await status(reader) == 408, "the second request of a connection too"


async def test_a_slow_body_is_not_the_heads_business() -> None:
    async with serving(0.5) as served, connected(served.port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc")
        await asyncio.sleep(0.8)
        writer.write(b"def")
        assert await status(reader) == 200
        assert served.bodies == [b"abcdef"]


async def test_bodies_of_any_size_and_framing_pass() -> None:
    large = b"x" * 1_000_000
    async with serving(30) as served, connected(served.port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n" + large)
        assert await status(reader) == 200
        chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(chunked + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
        assert await status(reader) == 200
        writer.write(chunked + b"f4240\r\n" + large + b"\r\n0\r\nlast: one\r\n\r\n")
        assert await status(reader) == 200
        assert [len(body) for body in served.bodies] == [1_000_000, 20_000, 1_000_000]


@pytest.mark.parametrize("line", [b"a: b\r\n", b"a"])
async def test_trailers_without_end_are_cut_off(line: bytes) -> None:
    async with serving(30) as served, connected(served.port) as (reader, writer):
        writer.write(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nt:"
        )
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < 1000 * HEAD:
                writer.write(line * 50)
                sent += len(line) * 50
                await writer.drain()
                await asyncio.sleep(0)
        assert sent < 1000 * HEAD


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x16\x03\x01 hello\r\n\r\n", "use http:// in the address"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 was sent"),
        (b"junk\r\n\r\n", "the request is not HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", "in content-encoding"),
        (b"POST / HTTP/1.1\r\nhost: a\r\n\r\n{}\r\n", "tell its length by content-length"),
    ],
)
async def test_junk_is_a_400(sent: bytes, said: str) -> None:
    async with serving(30) as served, connected(served.port) as (reader, writer):
        writer.write(sent)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 ")
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert (error["type"], said in error["message"]) == ("invalid_request_error", True)
