"""Requests that wait, and clients that leave, stall or come again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from functools import partial
from typing import Any

import anyio
import httpx
import pytest

from live_service import BODIES, CHAT, GENERATING, LiveService, answered, raw_engine, serving
from waiting import PATIENCE, until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.orchestrator.policy import Admission, Order, Placement, Policy, policy
from weft.orchestrator.views import CallView, EngineView, View
from weft.service.config.file import ServiceConfig

pytestmark = pytest.mark.loops("asyncio")

ERRORS = {
    CHAT: b'data: {"error":',
    "/v1/completions": b'data: {"error":',
    "/v1/responses": b"event: response.failed",
    "/v1/messages": b"event: error\ndata: ",
}


def slow(text: str = "x" * 1000, seconds: float = 0.05) -> ScriptedEngine:
    return ScriptedEngine(text, model="m", token_seconds=seconds)


async def test_waiting_streams_are_kept_open_and_then_answered() -> None:
    comment, gate = b": keep-alive\n\n", asyncio.Event()
    event = b'data: {"type":"response.completed","response":{"id":"r"}}\n\n'
    kept: list[str] = []

    async def reply(_: bytes, writer: Any) -> None:
        await gate.wait()
        writer.write(answered(200, event + b"data: [DONE]\n\n", "text/event-stream"))

    async with raw_engine(reply) as engine:
        limits = {"keepalive_seconds": 0.1}
        async with serving({"spec": engine.url, "concurrency": 1}, limits=limits) as service:

            async def waiting(path: str) -> None:
                async with service.streaming(path) as response:
                    assert response.status_code == 200
                    assert response.headers["content-type"].startswith("text/event-stream")
                    parts, got = response.aiter_raw(), b""
                    while got.count(comment) < 2:
                        got += await anext(parts)
                    kept.append(path)
                    got += b"".join([part async for part in parts])
                assert got.startswith(comment * 2)
                while got.startswith(comment):
                    got = got.removeprefix(comment)
                assert got.startswith((b"data: ", b"event: "))
                assert comment not in got

            first = asyncio.create_task(service.post(stream=True))
            await until(lambda: engine.asked == 1)
            async with asyncio.TaskGroup() as group:
                for path in GENERATING:
                    group.create_task(waiting(path))
                await until(lambda: len(kept) == len(GENERATING))
                gate.set()
            assert (await first).status_code == 200


async def test_a_stream_that_was_kept_open_ends_with_an_error_event() -> None:
    with mock.running(slow()) as url:
        limits = {"keepalive_seconds": 0.1, "queue_seconds": 1}
        async with serving({"spec": url, "concurrency": 1}, limits=limits) as service:

            async def waiting(path: str) -> None:
                async with service.streaming(path) as response:
                    assert response.status_code == 200
                    got = await response.aread()
                assert got.startswith(b": keep-alive\n\n")
                assert ERRORS[path] in got
                assert b"no engine had room" in got
                assert re.search(rb"; try again in \d+ s", got)
                # Codex, which sees no header in a stream, waits so long after this code.
                assert (b'"rate_limit_exceeded"' in got) == (path == "/v1/responses")

            async with service.streaming():
                await asyncio.gather(*map(waiting, GENERATING))
            await until(service.idle)


async def test_a_stream_that_was_kept_open_gets_what_the_engine_refuses() -> None:
    refusal = b'{"error":{"message":"no such thing"}}'
    gate = asyncio.Event()

    async def reply(_: bytes, writer: Any) -> None:
        await gate.wait()
        writer.write(b"HTTP/1.1 400 No\r\ncontent-length: %d\r\n\r\n" % len(refusal) + refusal)

    async with raw_engine(reply) as engine:
        limits = {"keepalive_seconds": 0.05}
        async with serving({"spec": engine.url, "concurrency": 1}, limits=limits) as service:
            first = asyncio.create_task(service.post())
            await until(lambda: engine.asked == 1)
            async with service.streaming() as second:
                gate.set()
                got = await second.aread()
            assert (await first).status_code == 400
    assert b"no such thing" in got
    assert got.startswith(b": keep-alive\n\n")


async def test_when_all_engines_die_who_waits_is_told() -> None:
    gate = asyncio.Event()

    async def reply(_: bytes, writer: Any) -> None:
        await gate.wait()
        writer.close()

    async with raw_engine(reply) as engine:
        limits = {"keepalive_seconds": 0.1, "outage_seconds": 0.3}
        async with serving({"spec": engine.url, "concurrency": 1}, limits=limits) as service:
            first = asyncio.create_task(service.post())
            await until(lambda: engine.asked == 1)
            whole = asyncio.create_task(service.post())
            early = asyncio.create_task(service.post(stream=True))
            await until(lambda: service.inside.scheduler.waiting == 2)
            async with service.streaming() as kept:  # its head is out
                engine.well = False
                gate.set()
                got = await kept.aread()
            for answer in (await first, await whole):
                assert answer.status_code == 503
                assert answer.headers["retry-after"]
            assert (await early).status_code in (200, 503)
            assert b"no engine" in got
            assert service.idle()


def request(path: str, **fields: Any) -> bytes:
    body = json.dumps(BODIES[path] | fields).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def test_a_client_that_leaves_is_forgotten_at_every_stage() -> None:
    engine = slow()
    with mock.running(engine) as url:
        async with serving({"spec": url, "concurrency": 1}) as service:
            for path, stream in [(CHAT, False), *[(path, True) for path in GENERATING]]:
                sent = request(path, stream=stream)
                async with service.connected() as (reader, writer):
                    writer.write(sent)
                    await until(lambda: engine.running == 1)
                    if stream:  # it is in the midst of its answer
                        await asyncio.wait_for(reader.readuntil(b"data: "), PATIENCE)
                    async with service.connected() as (_, queued):
                        queued.write(sent)
                        await until(lambda: service.inside.scheduler.waiting == 1)
                    await until(lambda: service.inside.scheduler.waiting == 0)
                    assert engine.running == 1
                await until(lambda: not engine.running)
                await until(service.idle)
            calls = [c for p in service.inside.registry.programs.values() for c in p.calls]
            assert [call.status for call in calls] == [499] * 10
            assert engine.cancelled == 5
            assert len(engine.requests) == 5


async def test_a_client_that_leaves_in_prefill_ends_it() -> None:
    engine = ScriptedEngine([Scripted(hangs=True)], model="m")
    with mock.running(engine) as url:
        async with serving(url) as service:
            async with service.connected() as (_, writer):
                writer.write(request(CHAT, stream=True))
                await until(lambda: engine.running == 1)
            await until(lambda: engine.cancelled == 1)
            await until(service.idle)


async def test_strategies_of_a_client_that_leaves_end_in_the_engines() -> None:
    engine = slow()
    with mock.running(engine) as url:
        async with serving(url) as service:
            async with service.connected() as (_, writer):
                writer.write(request(CHAT, model="m:majority(n=4)"))
                await until(lambda: engine.running == 4)
            await until(lambda: engine.cancelled == 4)
            await until(service.idle)


async def test_releasing_a_program_ends_its_calls() -> None:
    engine = slow()
    with mock.running(engine) as url:
        async with serving({"spec": url, "concurrency": 2}) as service:
            mine = {"x-weft-program": "p"}
            async with service.connected() as (reader, writer):
                writer.write(
                    request(CHAT, stream=True).replace(b"host: localhost", b"x-weft-program: p")
                )
                await asyncio.wait_for(reader.readuntil(b"data: "), PATIENCE)
                waits = asyncio.create_task(service.post(_headers=mine))
                await until(lambda: engine.running == 2)
                queued = asyncio.create_task(service.post(_headers=mine))
                await until(lambda: service.inside.scheduler.waiting == 1)
                done = await service.http.delete("/v1/programs/p")
                assert done.json() == {"id": "p", "object": "program", "deleted": True}
                await until(lambda: engine.cancelled == 2)
                stream = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), PATIENCE)
                assert b"was released" in stream
                for task in (waits, queued):
                    answer = await asyncio.wait_for(task, PATIENCE)
                    assert answer.status_code == 409
                    assert "was released" in answer.json()["error"]["message"]
            await until(service.idle)
            assert "p" not in service.inside.registry.programs
            assert service.inside.registry.ended[-1].id == "p"
            assert service.inside.scheduler.dispatcher.programs == {}


async def test_programs_expire_with_their_leases() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, limits={"lease_seconds": 0.3}) as service:
            assert (await service.post(_headers={"x-weft-program": "p"})).is_success
            assert "p" in service.inside.registry.programs
            await until(lambda: not service.inside.registry.programs)
            found = (await service.http.get("/v1/programs/p")).json()
            assert found["state"] == "ended"
            assert service.inside.scheduler.dispatcher.programs == {}


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    closed = asyncio.Event()

    async def reply(_: bytes, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"data: {}\n\n" * 5000)
                await writer.drain()
        closed.set()

    async with (
        raw_engine(reply) as engine,
        serving(engine.url, limits={"client_stall_seconds": 0.5}) as service,
        service.connected() as (_, writer),
    ):
        transport: Any = writer.transport
        transport.pause_reading()
        writer.write(request(CHAT, stream=True))
        await until(lambda: engine.asked == 1)
        await closed.wait()
        await until(service.idle)
        await until(lambda: not service.server.server_state.connections)


async def test_who_comes_again_has_the_place_that_it_had() -> None:
    gate = asyncio.Event()
    order: list[bytes] = []

    async def reply(sent: bytes, writer: Any) -> None:
        order.append(sent.rpartition(b'"content":"')[2].partition(b'"')[0])
        await gate.wait()
        writer.write(answered(200, b'{"choices":[]}'))

    async with raw_engine(reply) as engine:
        fields: dict[str, Any] = {"engines": [{"spec": engine.url, "concurrency": 1}]}
        fields["limits"] = {"queue_seconds": 0.3}
        reread = partial(ServiceConfig.model_validate, fields)
        async with serving(*fields["engines"], limits=fields["limits"], reread=reread) as service:
            tasks = [asyncio.create_task(_say(service, "first"))]
            await until(lambda: engine.asked == 1)
            assert (await _say(service, "early")).status_code == 503
            fields["limits"] = {"queue_seconds": 300}
            assert (await service.http.post("/admin/reload")).status_code == 200
            for number, text in enumerate(("later", "early"), 1):
                tasks.append(asyncio.create_task(_say(service, text)))
                await until(lambda n=number: service.inside.scheduler.waiting == n)
            gate.set()
            for task in tasks:
                assert (await task).status_code == 200
    assert order == [b"first", b"early", b"later"]


async def _say(service: LiveService, text: str) -> httpx.Response:
    return await service.post(messages=[{"role": "user", "content": text}])


@policy("never_lets_in")
class NeverLetsIn(Policy):
    def order(self, call: CallView, view: View) -> Order:
        return Order((), "as they come", view.now + 3600)

    def place(self, call: CallView, view: View) -> Placement:
        return Placement(view.engines[0], "the first")

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        return Admission(False, "nobody is let in")


async def test_a_request_goes_before_all_others_when_half_of_its_time_is_over() -> None:
    """Whatever the policy's own patience is, an idle engine refuses nobody."""

    async def reply(_: bytes, writer: Any) -> None:
        writer.write(answered(200, b'{"choices":[]}'))

    async with (
        raw_engine(reply) as engine,
        serving(engine.url, policy="never_lets_in", limits={"queue_seconds": 4}) as service,
    ):
        begun = anyio.current_time()
        assert (await service.post()).status_code == 200
        assert anyio.current_time() - begun >= 2
