"""Engines that answer with anything but what they should."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
from typing import Any

import pytest

import weft.service.engines.reply
from live_service import BODIES, CHAT, GENERATING, answered, raw_engine, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import Scripted, ScriptedEngine

pytestmark = pytest.mark.loops("asyncio")

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = STREAM + b"transfer-encoding: chunked\r\n\r\n"


JUNK = {
    "nothing": b"",
    "no http": b"\x00\xff\x16\x03 hello\r\n\r\n",
    "another protocol": b"220 mail.example.com ESMTP\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "an endless head": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1_000_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000,
    "an upgrade": b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello",
    "only signs of life": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "no json": answered(200, b"<html>hello</html>"),
    "no object": answered(200, b"[1, 2]"),
    "half of json": answered(200, b'{"choices": ['),
    "invalid text": answered(200, b'{"choices": "\xff\xfe"}'),
    "an empty body": answered(200, b""),
    "less than was said": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
    "a wrong length": b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}",
    "a wrong chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
    "half a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{}",
    "busy": answered(503, b'{"error": "busy"}'),
}


def saying(sent: bytes) -> Any:
    """The reply of an engine that says this and closes."""

    async def reply(_: bytes, writer: Any) -> None:
        writer.write(sent)
        writer.close()

    return reply


BROKEN_OFF = {"no json", "no object", "half of json", "invalid text", "an empty body"}
"""Whole answers in HTTP, and none of an engine."""


async def test_junk_is_an_error_in_the_protocols_form() -> None:
    limits = {"retries": 0, "idle_seconds": 5}
    async with raw_engine(b"") as engine, serving(engine.url, limits=limits) as service:
        for name, junk in JUNK.items():
            engine.reply = saying(junk)
            for path in (CHAT, "/v1/messages", "/v1/embeddings"):
                answer = await service.post(path)
                assert answer.status_code == (502 if name in BROKEN_OFF else 503), name
                assert answer.json()["error"]["message"], name
                assert name in BROKEN_OFF or int(answer.headers["retry-after"]) >= 1, name
                service.inside.scheduler.dispatcher.roster.back(
                    service.inside.scheduler.replicas[0]
                )
        assert service.idle()


async def test_before_its_first_byte_a_request_is_tried_again() -> None:
    async with raw_engine(b"") as engine, serving(engine.url) as service:
        assert (await service.post(_headers={"x-weft-program": "p"})).status_code == 503
        assert engine.asked == 2
        (call,) = service.inside.registry.programs["p"].calls
        assert (call.status, call.attempts) == (503, 2)
        assert service.inside.scheduler.replicas[0].alive


BROKEN = {
    "in an event": CHUNKED + b"%x\r\n%b" % (2 * len(EVENT), EVENT + EVENT[:20]),
    "between events": CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT),
    "before the last one": CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT),
    "with its connection": STREAM + b"\r\n" + EVENT,
    "in a wrong chunk": CHUNKED + b"%x\r\n%b\r\nzz\r\n" % (len(EVENT), EVENT),
    "as no events": CHUNKED + b"%x\r\n%bhello\r\n0\r\n\r\n" % (len(EVENT) + 5, EVENT),
}


async def test_a_stream_that_breaks_off_ends_with_an_error_event() -> None:
    async with raw_engine(b"") as engine, serving(engine.url) as service:
        for number, (name, sent) in enumerate(BROKEN.items(), 1):
            engine.reply = saying(sent)
            async with service.streaming(_headers={"x-weft-program": name}) as response:
                assert response.status_code == 200, name
                got = await response.aread()
            assert engine.asked == number, "it is not tried again"
            *_, error, done, rest = got.split(b"\n\n")
            assert (done, rest) == (b"data: [DONE]", b""), name
            assert b"broke" in error or b"HTTP" in error, name
            assert json.loads(error.removeprefix(b"data: "))["error"]["type"] == "server_error"
            await until(service.idle)
            assert service.inside.registry.programs[name].calls[0].error
            service.inside.scheduler.dispatcher.roster.back(service.inside.scheduler.replicas[0])


async def test_every_protocol_is_told_of_a_stream_that_breaks_off() -> None:
    ends = {
        "/v1/responses": [b"event: error\n", b"event: response.failed\n"],
        "/v1/messages": [b"event: error\n"],
    }
    answers = [Scripted("Hello", dies_after=3), "Hello"]  # good ones, for it not to rest
    with mock.running(ScriptedEngine(answers, model="m")) as url:
        async with serving(url) as service:
            for path in GENERATING:
                async with service.streaming(path) as response:
                    got = await response.aread()
                for part in ends.get(path, [b'data: {"error":']):
                    assert part in got
                assert b"broke the connection" in got
                assert (await service.post(path)).status_code == 200


async def test_a_stream_that_ends_before_it_begins_is_tried_elsewhere() -> None:
    empty = CHUNKED + b"0\r\n\r\n"
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with raw_engine(empty) as engine, serving(engine.url, url) as service:
            for _ in range(4):
                async with service.streaming() as response:
                    got = await response.aread()
                assert b'"error"' not in got
                assert got.endswith(b"data: [DONE]\n\n")
            assert engine.asked


async def test_old_and_odd_http_is_understood() -> None:
    whole = b'{"choices": []}'
    ok = b"HTTP/1.1 200 OK\r\n"
    async with raw_engine(b"") as engine, serving(engine.url) as service:
        for sent in (
            b"HTTP/1.0 200 OK\r\n\r\n" + whole,
            b"HTTP/1.0 200 OK\r\ncontent-length: 15\r\n\r\n" + whole,
            b"HTTP/1.1 100 Continue\r\n\r\n" + ok + b"content-length: 15\r\n\r\n" + whole,
            ok + b"content-length: 15\r\nconnection: close\r\n\r\n" + whole,
            ok + b"content-length: 15\r\n\r\n" + whole + b"and more",
            ok + b"content-length: 15\r\n\r\n" + whole + answered(200, b"{}"),
            ok + b"transfer-encoding: chunked\r\n\r\nf;a=b\r\n%b\r\n0\r\nt: u\r\n\r\n" % whole,
        ):
            engine.reply = saying(sent)
            for _ in range(2):
                answer = await service.post()
                assert (answer.status_code, answer.content) == (200, whole), sent
        assert service.idle()


async def test_a_request_that_every_engine_fails_at_stops_none_of_them() -> None:
    failing = answered(500, b'{"error": {"message": "index out of range"}}')
    async with (
        raw_engine(failing) as one,
        raw_engine(failing) as two,
        serving(one.url, two.url) as service,
    ):
        for _ in range(5):
            answer = await service.post(stream=True)
            assert answer.status_code == 500
            assert "index out of range" in answer.json()["error"]["message"]
        assert one.asked == two.asked == 5
        assert all(r.alive for r in service.inside.scheduler.replicas)
        one.well = False
        assert (await service.post()).status_code == 500
        alive = {r.name: r.alive for r in service.inside.scheduler.replicas}
        assert alive == {one.url: False, two.url: True}


async def test_an_engine_that_falls_silent_is_given_up() -> None:
    silent = asyncio.Event()

    async def reply(sent: bytes, writer: Any) -> None:
        if b'"stream"' in sent:
            writer.write(CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await silent.wait()

    async with raw_engine(reply) as engine:
        limits = {"idle_seconds": 0.5, "retries": 0}
        async with serving(engine.url, limits=limits) as service:
            answer, stream = await asyncio.gather(service.post(), service.post(stream=True))
            assert answer.status_code == 503
            assert "fell silent" in answer.json()["error"]["message"]
            assert b"fell silent" in stream.content
            assert stream.content.startswith(EVENT)
            assert service.idle()
            silent.set()


async def test_an_endless_answer_does_not_fill_the_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(weft.service.engines.reply, "LONGEST", 1_000_000)
    sent = 0

    async def reply(_: bytes, writer: Any) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b" " * 100_000)
                sent += 100_000
                await writer.drain()

    async with raw_engine(reply) as engine, serving(engine.url) as service:
        for path in (CHAT, "/v1/embeddings"):
            answer = await service.post(path)
            assert answer.status_code == 502
            assert "longer than 1000000 bytes" in answer.json()["error"]["message"]
        assert sent < 20_000_000
        assert service.idle()


async def test_an_endless_stream_waits_for_its_client_and_ends_with_it() -> None:
    sent, broken = 0, asyncio.Event()
    event = EVENT.replace(b"a", b"a" * 10_000)

    async def reply(_: bytes, writer: Any) -> None:
        nonlocal sent
        writer.write(STREAM + b"\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(event)
                sent += len(event)
                await writer.drain()
        broken.set()

    body = json.dumps(BODIES[CHAT] | {"stream": True}).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    )
    async with raw_engine(reply) as engine, serving(engine.url) as service:
        async with service.connected() as (reader, writer):
            writer.write(head + body)
            await reader.readexactly(1_000_000)
            transport: Any = writer.transport
            transport.pause_reading()
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 40_000_000  # what buffers of sockets hold
        await broken.wait()
        await until(service.idle)


GOOD = CHUNKED + b"".join(
    b"%x\r\n%b\r\n" % (len(part), part) for part in (EVENT, EVENT, b"data: [DONE]\n\n", b"")
)


async def test_mangled_answers_end_in_an_answer_or_an_error() -> None:
    chance = random.Random(7)
    cut = functools.partial(chance.randrange, len(GOOD))

    def mangled() -> bytes:
        a, b = sorted((cut(), cut()))
        match chance.randrange(4):
            case 0:
                return GOOD[:a]
            case 1:
                return GOOD[:a] + GOOD[b:]
            case 2:
                return GOOD[:a] + chance.randbytes(5) + GOOD[a:]
            case _:
                return GOOD[:b] + GOOD[a:]

    async def reply(_: bytes, writer: Any) -> None:
        writer.write(mangled())
        writer.close()

    async with raw_engine(reply) as engine:
        limits = {"retries": 0, "idle_seconds": 1}
        async with serving(engine.url, limits=limits) as service:
            for _ in range(200):
                answer = await service.post(stream=True)
                assert answer.status_code != 200 or b"data: [DONE]" in answer.content
            await until(service.idle)
            (replica,) = service.inside.scheduler.replicas
            assert replica.alive
            assert service.inside.upstreams[replica].connections <= 1
