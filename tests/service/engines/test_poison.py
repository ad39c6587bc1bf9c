"""One client's requests fail at every engine, in every way: the others notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from live_service import CHAT, answered, raw_engine, serving
from waiting import until

pytestmark = pytest.mark.loops("asyncio")

FINE = answered(
    200,
    json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "fine"},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    ).encode(),
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"text":"a","delta":{"content":"a"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
SOON = b"HTTP/1.1 429 Slow\r\nretry-after-ms: 30\r\ncontent-length: 2\r\n\r\n{}"

FAULTS = {
    "a 500": answered(500, b'{"error": {"message": "internal error", "code": 500}}'),
    "a 429": SOON,
    "a 503": answered(503, b"{}"),
    "a 502": answered(502, b"<html>", "text/html"),
    "a connection closed": b"",
    "an empty answer": answered(200, b""),
    "malformed JSON": answered(200, b'{"choices": [{"del'),
    "an empty stream": STREAM + b"0\r\n\r\n",
    "a cut chunk": STREAM + b"ff\r\n" + EVENT,
    "a cut stream": STREAM + CHUNK,
    "a stream without an end": STREAM + CHUNK + b"0\r\n\r\n",
    "an event that is none": STREAM + b"a\r\ndata: {no\n\r\n0\r\n\r\n",
    "no HTTP": b"\x00\xff\x16\r\n\r\n",
}
CLOSES = {"a connection closed", "a cut chunk", "a cut stream", "no HTTP"}


def replying(fault: str, poisoned: Any) -> Any:
    async def reply(raw: bytes, writer: asyncio.StreamWriter) -> None:
        if not poisoned(raw):
            writer.write(FINE)
            return
        if fault == "silence":
            writer.write(STREAM + CHUNK)
            await asyncio.sleep(30)
        elif fault == "an endless stream":
            writer.write(STREAM)
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(CHUNK)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        else:
            writer.write(FAULTS[fault])
            if fault in CLOSES:
                await writer.drain()
                writer.close()

    return reply


async def beside(service: Any, body: dict[str, Any], engines: int, rounds: int = 2) -> Counter[int]:
    """What a poisoner gets while good clients are served, all of them."""
    got, stop = Counter[int](), asyncio.Event()

    async def poisoner() -> None:
        while not stop.is_set():
            with contextlib.suppress(httpx.TimeoutException):
                answer = await service.http.post(CHAT, json=body, timeout=0.5)
                got[answer.status_code] += 1

    async def good(client: int) -> None:
        for turn in range(rounds):
            answer = await service.post(_headers={"x-weft-program": f"g{client}-{turn}"})
            assert answer.status_code == 200, answer.text
            assert all(r.alive for r in service.inside.scheduler.replicas)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as poison:
        tasks = [poison.create_task(poisoner()) for _ in range(2)]
        await until(lambda: got or service.inside.scheduler.in_flight)
        async with asyncio.TaskGroup() as group:
            for client in range(8):
                group.create_task(good(client))
        stop.set()
        for task in tasks:
            task.cancel()
    await until(service.idle)
    assert sum(r.alive for r in service.inside.scheduler.replicas) == engines
    return got


@pytest.mark.parametrize(("engines", "stream"), [(1, True), (2, False)])
@pytest.mark.parametrize("fault", [*FAULTS, "silence", "an endless stream"])
async def test_poisoned_chats_hurt_their_sender_alone(
    fault: str, engines: int, stream: bool
) -> None:
    reply = replying(fault, lambda raw: b"poison" in raw)
    body = {"model": "m", "messages": [{"role": "user", "content": "poison"}], "stream": stream}
    async with raw_engine(reply) as one, raw_engine(reply) as two:
        urls = [one.url, two.url][:engines]
        async with serving(*urls, limits={"idle_seconds": 1}) as service:
            await beside(service, body, engines)


@pytest.mark.parametrize("engines", [1, 2])
@pytest.mark.parametrize("fault", [*FAULTS, "silence"])
async def test_a_poisoned_strategy_hurts_its_sender_alone(fault: str, engines: int) -> None:
    reply = replying(fault, lambda raw: raw.startswith(b"POST /v1/completions"))
    body = {"model": "m:majority(n=3)", "messages": [{"role": "user", "content": "hi"}]}
    async with (
        raw_engine(reply) as one,
        raw_engine(reply) as two,
        serving(*[one.url, two.url][:engines]) as service,
    ):
        got = await beside(service, body, engines)
        assert 200 not in got


@pytest.mark.parametrize("stream", [False, True])
async def test_answers_that_all_broke_off_are_an_error_and_not_lost(stream: bool) -> None:
    reply = replying("a cut stream", lambda _: True)
    async with raw_engine(reply) as engine, serving(engine.url) as service:
        answer = await service.post(model="m:majority(n=3)", stream=stream)
        assert answer.status_code == 502
        assert "broke off every answer" in answer.json()["error"]["message"]
        assert answer.json()["weft"]["text"] == "a"


async def test_a_poisoned_request_is_sent_twice_at_most() -> None:
    reply = replying("a 500", lambda raw: b"poison" in raw)
    async with (
        raw_engine(reply) as one,
        raw_engine(reply) as two,
        raw_engine(reply) as three,
        serving(one.url, two.url, three.url) as service,
    ):
        for stream in (False, True):
            said = [{"role": "user", "content": "poison"}]
            answer = await service.post(messages=said, stream=stream)
            assert answer.status_code == 500
            assert "internal error" in answer.json()["error"]["message"]
        assert one.asked + two.asked + three.asked == 4


async def test_a_busy_engine_is_asked_again_and_the_client_waits() -> None:
    left = 3

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        left -= 1
        writer.write(SOON if left >= 0 else FINE)

    async with raw_engine(reply) as engine, serving(engine.url) as service:
        answer = await service.post(_headers={"x-weft-program": "p"})
        assert answer.status_code == 200
        assert engine.asked == 4
        (call,) = service.inside.registry.programs["p"].calls
        assert call.attempts == 4
        assert "busy" in answer.headers["x-weft-wait"]
        assert service.inside.scheduler.dispatcher.programs["p"].calls == 1


async def test_an_engine_that_stays_busy_is_503_with_its_own_time() -> None:
    busy = b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}"

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(busy)

    engine_config = {"retry": {"attempts": 1}}
    async with raw_engine(reply) as engine:
        async with serving({"spec": engine.url, **engine_config}) as service:
            answer = await service.post()
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
            assert service.idle()
        async with serving(f"{engine.url}?retry=1") as service:
            assert (await service.post()).status_code == 503


async def test_an_engine_has_its_own_time_of_silence() -> None:
    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    async with raw_engine(reply) as engine:
        spec = {"spec": engine.url, "silence": 0.2}
        async with serving(spec, limits={"retries": 0}) as service:
            answer = await service.post()
            assert answer.status_code == 503
            assert "fell silent" in answer.json()["error"]["message"]
