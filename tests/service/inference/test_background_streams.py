"""Responses made in the background and streamed: they go on when their clients leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import openai
import pytest

from live_service import LiveService, answered, raw_engine, serving
from waiting import PATIENCE, until
from weft.errors import Refused

pytestmark = pytest.mark.loops("asyncio")

USAGE = {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35}


class Maker:
    """An engine that makes one response at a time, in steps, and lets its events be taken up.

    Attributes:
        step: set for each further event.
        lost: whether whoever asked for the response has left before its end.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.step = asyncio.Event()
        self.lost = self.breaks = False
        self.lines: list[str] = []
        self.status = "in_progress"

    async def __call__(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, raw = sent.partition(b"\r\n\r\n")
        method, path = head.decode().split(" ")[:2]
        self.lines.append(f"{method} {path}")
        if method == "POST" and path.endswith("/cancel"):
            self.status = "cancelled"
            writer.write(answered(200, json.dumps(self._response()).encode()))
        elif method == "POST":
            assert json.loads(raw)["background"] is True
            await self._make(writer)
        elif "stream=true" in path:
            after = int(path.partition("starting_after=")[2].partition("&")[0])
            body = b"".join(self._told(one) for one in self.events[after + 1 :])
            writer.write(answered(200, body, "text/event-stream"))
        else:
            writer.write(answered(200, json.dumps(self._response()).encode()))

    async def _make(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        kinds = ["created", "in_progress", *["output_text.delta"] * 3, "completed"]
        for number, kind in enumerate(kinds):
            if kind == "completed":
                self.status = "completed"
            event: dict[str, Any] = {"type": f"response.{kind}", "sequence_number": number}
            if kind == "output_text.delta":
                event |= {"item_id": "i", "output_index": 0, "content_index": 0, "delta": "a"}
                event["logprobs"] = []
            else:
                event["response"] = self._response()
            self.events.append(event)
            part = self._told(event)
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
            await self.step.wait()
            if self.breaks and number == 2:
                writer.close()
                return
            self.lost = self.lost or writer.is_closing()
            self.step.clear()
        writer.write(b"0\r\n\r\n")

    def _told(self, event: dict[str, Any]) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())

    def _response(self) -> dict[str, Any]:
        return {
            "id": "resp_1",
            "object": "response",
            "status": self.status,
            "model": "m",
            "created_at": 0,
            "output": [],
            "usage": USAGE if self.status == "completed" else None,
        }


@contextlib.asynccontextmanager
async def made_by(maker: Maker) -> AsyncGenerator[tuple[LiveService, openai.AsyncOpenAI]]:
    async with raw_engine(maker, gets=True) as engine, serving(engine.url) as service:
        base = f"http://127.0.0.1:{service.port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="k", max_retries=0) as client:
            yield service, client


async def begin(client: openai.AsyncOpenAI, **more: Any) -> int:
    """Ask for a response, read two events and leave; returns the last event's number."""
    stream = await client.responses.create(
        model="m", input="a", background=True, stream=True, **more
    )
    last = -1
    async for event in stream:
        last = event.sequence_number
        break
    await stream.close()
    return last


async def go_on(maker: Maker) -> None:
    """Let the engine make the rest."""
    while len(maker.events) < 6:
        maker.step.set()
        await asyncio.sleep(0)
    maker.step.set()


async def test_a_response_is_made_though_its_client_has_left() -> None:
    maker = Maker()
    async with made_by(maker) as (service, client):
        last = await begin(client)
        (exchange,) = service.inside.exchanges
        cycle = exchange._client._cycle
        await until(lambda: cycle.disconnected)  # the service has heard of it
        assert exchange.alone
        assert service.inside.scheduler.in_flight == 1
        found = await client.responses.retrieve("resp_1")
        assert found.status == "in_progress"
        await go_on(maker)
        await until(service.idle)
        assert not maker.lost
        assert (await client.responses.retrieve("resp_1")).status == "completed"
        rest = await client.responses.retrieve("resp_1", stream=True, starting_after=last)
        numbers = [event.sequence_number async for event in rest]
        assert numbers == [1, 2, 3, 4, 5]
        (program,) = service.inside.registry.programs.values()
        (call,) = program.calls
        assert (call.status, call.outcome, call.prompt, call.generated) == (200, "done", 30, 5)


async def test_a_response_is_made_though_its_stream_broke() -> None:
    maker = Maker()
    maker.breaks = True
    async with made_by(maker) as (service, client):
        await begin(client)
        for _ in range(2):
            count = len(maker.events)
            maker.step.set()
            await until(lambda count=count: len(maker.events) > count)
        maker.step.set()
        await until(lambda: "GET /v1/responses/resp_1" in maker.lines)
        assert service.inside.scheduler.in_flight == 1  # the engine still makes it
        maker.status = "completed"
        await until(service.idle)


async def test_releasing_the_program_stops_the_engine() -> None:
    maker = Maker()
    async with made_by(maker) as (service, client):
        await begin(client, extra_headers={"x-weft-program": "p"})
        assert (await service.http.delete("/v1/programs/p")).json()["deleted"]
        await until(service.idle)
        assert "POST /v1/responses/resp_1/cancel" in maker.lines
        with pytest.raises(openai.ConflictError):
            await begin(client, extra_headers={"x-weft-program": "p"})


async def test_a_service_that_stops_waits_for_a_stream_only_while_somebody_reads() -> None:
    maker = Maker()
    async with made_by(maker) as (service, client):
        stream = await client.responses.create(model="m", input="a", background=True, stream=True)
        await anext(stream)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: service.inside.draining)
        maker.step.set()
        await anext(stream)  # it goes on
        assert not any(line.endswith("/cancel") for line in maker.lines)
        await stream.close()
        await until(service.idle)
        assert "POST /v1/responses/resp_1/cancel" in maker.lines


async def test_cancelling_the_response_ends_the_call() -> None:
    maker = Maker()
    maker.breaks = True
    async with made_by(maker) as (service, client):
        await begin(client)
        assert (await client.responses.cancel("resp_1")).status == "cancelled"
        while not service.idle():
            maker.step.set()
            await asyncio.sleep(0)
        (program,) = service.inside.registry.programs.values()
        assert [call.outcome for call in program.calls] == ["cancelled"]


@pytest.mark.parametrize("dropped", [False, True])
async def test_a_client_that_took_nothing_when_it_left_holds_nothing_up(dropped: bool) -> None:
    maker = Maker()
    async with made_by(maker) as (service, _):
        async with httpx.AsyncClient(base_url=service.http.base_url, timeout=PATIENCE) as http:
            body = {"model": "m", "input": "a", "background": True, "stream": True}
            async with http.stream("POST", "/v1/responses", json=body):
                await until(lambda: len(service.inside.exchanges) == 1)
                (exchange,) = service.inside.exchanges
                exchange.on_held(True)
                if dropped:
                    exchange.drop(Refused(408, "the client took nothing"))
        await go_on(maker)
        await until(service.idle)
        assert not maker.lost
