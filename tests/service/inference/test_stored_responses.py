"""Responses that engines keep: asked for, cancelled, deleted, and made in the background."""

# ruff: noqa: SIM117 - engines around services read better so

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import openai
import pytest

from live_service import LiveService, answered, raw_engine, serving
from waiting import until
from weft.service.config.api_key import hash_key

pytestmark = pytest.mark.loops("asyncio")

ANN, BOB = "key-of-ann-0000000", "key-of-bob-0000000"
USAGE = {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35}


class Store:
    """An engine that keeps responses, and makes some in the background."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.lines: list[str] = []

    async def __call__(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, raw = sent.partition(b"\r\n\r\n")
        method, path = head.decode().split(" ")[:2]
        self.lines.append(f"{method} {path}")
        path, _, _ = path.partition("?")
        parts = path.split("/")[3:]
        if not parts:
            status, said = 200, self._made(json.loads(raw))
        elif parts[0] not in self.kept:
            status, said = 404, {"error": {"message": "not here", "code": "x"}}
        else:
            status, said = 200, self._asked(method, *parts)
        writer.write(answered(status, json.dumps(said).encode()))

    def _made(self, body: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "status": "queued" if body.get("background") else "completed",
            "model": body["model"],
            "created_at": 0,
            "output": [],
            "usage": None if body.get("background") else USAGE,
        }
        self.kept[response["id"]] = response
        return response

    def _asked(self, method: str, id: str, what: str = "") -> dict[str, Any]:
        if method == "DELETE":
            del self.kept[id]
            return {"id": id, "object": "response", "deleted": True}
        if what == "cancel":
            self.kept[id]["status"] = "cancelled"
        if what == "input_items":
            return {"object": "list", "data": [], "has_more": False, "first_id": "", "last_id": ""}
        return self.kept[id]

    def finish(self, id: str) -> None:
        self.kept[id] |= {"status": "completed", "usage": USAGE}


@contextlib.asynccontextmanager
async def two(**more: Any) -> AsyncGenerator[tuple[LiveService, dict[str, Store]]]:
    one, other = Store(), Store()
    async with raw_engine(one, gets=True) as a, raw_engine(other, gets=True) as b:
        async with serving(a.url, b.url, **more) as service:
            yield service, {a.url: one, b.url: other}


def gpt(service: LiveService, key: str = "k") -> openai.AsyncOpenAI:
    base = f"http://127.0.0.1:{service.port}/v1"
    return openai.AsyncOpenAI(base_url=base, api_key=key, max_retries=0)


async def test_what_is_asked_of_a_response_goes_to_the_engine_that_holds_it() -> None:
    async with two() as (service, stores), gpt(service) as client:
        for i in range(6):
            made = await client.responses.create(model="m", input=f"question {i}")
            (holder,) = [store for store in stores.values() if made.id in store.kept]
            (other,) = [store for store in stores.values() if store is not holder]
            before = len(other.lines)
            assert (await client.responses.retrieve(made.id)).id == made.id
            listed = await client.responses.input_items.list(made.id, limit=5)
            assert listed.data == []
            assert holder.lines[-1] == f"GET /v1/responses/{made.id}/input_items?limit=5"
            assert (await client.responses.cancel(made.id)).status == "cancelled"
            await client.responses.delete(made.id)
            assert made.id not in holder.kept
            assert len(other.lines) == before
            with pytest.raises(openai.NotFoundError, match="not here"):
                await client.responses.retrieve(made.id)
        with pytest.raises(openai.NotFoundError, match="'resp_unknown' not found"):
            await client.responses.retrieve("resp_unknown")
        for store in stores.values():
            assert not any("unknown" in line for line in store.lines)


async def test_responses_of_one_tenant_are_unknown_to_others() -> None:
    tenants = [
        {"name": "ann", "keys": [hash_key(ANN)]},
        {"name": "bob", "keys": [hash_key(BOB)]},
    ]
    async with two(tenants=tenants) as (service, stores):
        async with gpt(service, ANN) as ann, gpt(service, BOB) as bob:
            made = await ann.responses.create(model="m", input="hi")
            assert (await ann.responses.retrieve(made.id)).id == made.id
            asked = sum(len(store.lines) for store in stores.values())
            for ask in (bob.responses.retrieve, bob.responses.cancel, bob.responses.delete):
                with pytest.raises(openai.NotFoundError):
                    await ask(made.id)
            assert sum(len(store.lines) for store in stores.values()) == asked
            nobody = await service.http.get(f"/v1/responses/{made.id}")
            assert nobody.status_code == 401


async def test_holders_are_known_over_restarts(tmp_path: Path) -> None:
    one, other = Store(), Store()
    async with raw_engine(one, gets=True) as a, raw_engine(other, gets=True) as b:
        made: list[str] = []
        async with serving(a.url, b.url, store=str(tmp_path / "s.db")) as service:
            async with gpt(service) as client:
                for i in range(8):
                    made.append((await client.responses.create(model="m", input=f"q{i}")).id)
        async with serving(a.url, b.url, store=str(tmp_path / "s.db")) as service:
            async with gpt(service) as client:
                for id in made:
                    assert (await client.responses.retrieve(id)).id == id
                    later = {"model": "m", "input": "more", "previous_response_id": id}
                    answer = await service.http.post("/v1/responses", json=later)
                    holder = a.url if id in one.kept else b.url
                    assert answer.headers["x-weft-engine"] == holder
        async with serving(a.url, store=str(tmp_path / "s.db")) as service:
            lost = next((id for id in made if id not in one.kept), None)
            if lost is not None:
                later = {"model": "m", "input": "more", "previous_response_id": lost}
                answer = await service.http.post("/v1/responses", json=later)
                assert answer.json()["error"]["code"] == "previous_response_not_found"


async def test_a_service_that_stops_leaves_responses_that_it_will_know_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept, store = str(tmp_path / "s.db"), Store()
    async with raw_engine(store, gets=True) as engine:
        for place, status in ((kept, "queued"), (None, "cancelled")):
            # Nothing is waited for: nobody could ask for it before the service is back.
            limits = {"drain_seconds": 600}
            async with serving(engine.url, store=place, limits=limits) as service:
                made = await service.post("/v1/responses", background=True)
                os.kill(os.getpid(), signal.SIGTERM)
                await until(service.idle)
                (program,) = (
                    service.inside.registry.ended or service.inside.registry.programs.values()
                )
                assert [(call.status, call.outcome) for call in program.calls] == [(200, "done")]
            assert store.kept[made.json()["id"]]["status"] == status
            assert ("without a store" in caplog.text) == (place is None)
        first = next(iter(store.kept))
        async with serving(engine.url, store=kept) as service:
            assert (await service.http.get(f"/v1/responses/{first}")).json()["status"] == "queued"


async def test_a_response_in_the_background_takes_room_until_it_is_made() -> None:
    store = Store()
    async with raw_engine(store, gets=True) as engine:
        async with serving({"spec": engine.url, "concurrency": 2}) as service:
            async with gpt(service) as client:
                first = await client.responses.create(model="m", input="a", background=True)
                second = await client.responses.create(model="m", input="b", background=True)
                assert (first.status, second.status) == ("queued", "queued")
                assert service.inside.scheduler.in_flight == 2
                waiting = asyncio.create_task(client.responses.create(model="m", input="c"))
                await until(lambda: service.inside.scheduler.waiting == 1)
                assert (await client.responses.retrieve(first.id)).status == "queued"
                store.finish(first.id)
                assert (await waiting).status == "completed"
                # Cancelled by the client: the room is free too.
                assert (await client.responses.cancel(second.id)).status == "cancelled"
                await until(service.idle)
                done = [p for p in service.inside.registry.programs.values() if p.generated]
                assert sorted((p.prompt, p.generated) for p in done) == [(30, 5), (30, 5)]


async def test_releasing_a_program_stops_its_responses_in_the_background() -> None:
    store = Store()
    async with raw_engine(store, gets=True) as engine, serving(engine.url) as service:
        mine = {"x-weft-program": "p"}
        made = await service.post("/v1/responses", mine, background=True)
        id = made.json()["id"]
        assert (await service.http.delete("/v1/programs/p")).json()["deleted"]
        await until(service.idle)
        assert store.kept[id]["status"] == "cancelled"
        # The connection is as it was.
        assert (await service.post("/v1/responses", None, input="else")).status_code == 200
