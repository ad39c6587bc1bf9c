"""Requests that go on from an earlier response, which one engine alone holds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from live_service import LiveService, RawEngine, answered, raw_engine, serving
from waiting import until
from weft.service.config.api_key import hash_key
from weft.service.config.file import ServiceConfig

pytestmark = pytest.mark.loops("asyncio")

RESPONSES = "/v1/responses"
NOT_KEPT = '{"error":{"message":"not kept here"}}'


class Keeper:
    """An engine that keeps the responses it gave, and goes on from no others."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.running = self.asked = 0

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        body = json.loads(request.partition(b"\r\n\r\n")[2])
        self.asked += 1
        previous = body.get("previous_response_id")
        if previous is not None and previous not in self.kept:
            writer.write(answered(404, NOT_KEPT.encode()))
            return
        self.running += 1
        try:
            while body["input"] == "slow":  # until the connection is cut
                await asyncio.sleep(0.02)
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
        finally:
            self.running -= 1
        response = {"id": f"resp_{uuid.uuid4().hex}", "object": "response", "output": []}
        self.kept.add(response["id"])
        if body.get("stream"):
            event = json.dumps({"type": "response.completed", "response": response}).encode()
            sent = b"event: response.completed\ndata: %b\n\n" % event
            writer.write(answered(200, sent, "text/event-stream"))
        else:
            writer.write(answered(200, json.dumps(response).encode()))


@contextlib.asynccontextmanager
async def two_engines(
    policy: str = "weft", **more: Any
) -> AsyncGenerator[tuple[LiveService, dict[str, RawEngine], dict[str, Any]]]:
    """The service, its engines by name, and the configuration that a reload takes."""
    async with raw_engine(Keeper()) as one, raw_engine(Keeper()) as two:
        engines = {"one": one, "two": two}
        specs = [{"spec": e.url, "name": n, "concurrency": 1} for n, e in engines.items()]
        fields: dict[str, Any] = {"engines": specs, "policy": policy, **more}
        async with serving(
            *specs, policy=policy, reread=lambda: ServiceConfig.model_validate(fields), **more
        ) as service:
            yield service, engines, fields


async def fill(service: LiveService, group: asyncio.TaskGroup) -> dict[str, str]:
    """Have each engine run a program for long; their ids by engine."""
    known = service.inside.registry.programs
    for id in ("a", "b"):
        group.create_task(service.post(RESPONSES, {"x-weft-program": id}, input="slow"))
    await until(lambda: service.inside.scheduler.in_flight == 2)
    return {known[id].calls[0].engine: id for id in ("a", "b")}


async def release(service: LiveService, id: str) -> None:
    assert (await service.http.delete(f"/v1/programs/{id}")).is_success


@pytest.mark.parametrize("policy", ["weft", "round_robin", "fcfs", "prefix"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_waits_for_the_engine_that_has_the_response(
    policy: str, stream: bool
) -> None:
    async with two_engines(policy) as (service, _, _):
        first = await service.post(RESPONSES, stream=stream)
        said = first.text.rpartition("data: ")[2] if stream else first.text
        found = json.loads(said)
        previous = found["response"]["id"] if stream else found["id"]
        home = first.headers["x-weft-engine"]
        async with asyncio.TaskGroup() as group:
            running = await fill(service, group)
            going_on = group.create_task(
                service.post(RESPONSES, previous_response_id=previous, stream=stream)
            )
            await until(lambda: service.inside.scheduler.waiting == 1)
            free = running.pop("two" if home == "one" else "one")
            await release(service, free)
            if policy == "weft":  # it keeps nobody from the engine that is free
                assert (await service.post(RESPONSES)).headers["x-weft-engine"] != home
            assert service.inside.scheduler.waiting == 1
            await release(service, running[home])
            answer = await going_on
    assert answer.status_code == 200
    assert answer.headers["x-weft-engine"] == home
    assert answer.headers["x-weft-program"] == first.headers["x-weft-program"]


async def test_a_response_that_went_with_its_engine_is_not_found() -> None:
    async with two_engines() as (service, engines, fields):
        first = await service.post(RESPONSES)
        previous, home = first.json()["id"], first.headers["x-weft-engine"]
        async with asyncio.TaskGroup() as group:
            running = await fill(service, group)
            waits = group.create_task(service.post(RESPONSES, previous_response_id=previous))
            await until(lambda: service.inside.scheduler.waiting == 1)
            fields["engines"] = [one for one in fields["engines"] if one["name"] != home]
            assert (await service.http.post("/admin/reload")).is_success
            assert (await waits).status_code == 503  # it is told more when it comes again
            for id in running.values():
                await release(service, id)
        asked = engines["one"].asked + engines["two"].asked
        answer = await service.post(RESPONSES, previous_response_id=previous)
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "message": f"Previous response with id '{previous}' not found.",
            "type": "invalid_request_error",
            "param": "previous_response_id",
            "code": "previous_response_not_found",
        }
        assert engines["one"].asked + engines["two"].asked == asked
        # An id that was never seen is for an engine to judge.
        answer = await service.post(RESPONSES, previous_response_id="resp_0")
        assert (answer.status_code, answer.text) == (404, NOT_KEPT)
        assert service.idle()


async def test_an_engine_that_is_away_for_a_while_is_waited_for() -> None:
    async with two_engines(health={"interval": 0.02}) as (service, engines, _):
        first = await service.post(RESPONSES)
        previous, home = first.json()["id"], first.headers["x-weft-engine"]
        engines[home].well = False
        alive = service.inside.scheduler.replicas
        await until(lambda: not all(replica.alive for replica in alive))
        answer = await service.post(RESPONSES, previous_response_id=previous)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert (await service.post(RESPONSES)).headers["x-weft-engine"] != home
        engines[home].well = True
        await until(lambda: all(replica.alive for replica in alive))
        answer = await service.post(RESPONSES, previous_response_id=previous)
        assert (answer.status_code, answer.headers["x-weft-engine"]) == (200, home)


async def test_responses_of_other_tenants_are_not_known() -> None:
    keys = {"ann": "key-of-ann-0000000", "bob": "key-of-bob-0000000"}
    tenants = [{"name": name, "keys": [hash_key(key)]} for name, key in keys.items()]
    async with two_engines(tenants=tenants) as (service, _, _):
        heads = {name: {"authorization": f"Bearer {key}"} for name, key in keys.items()}
        first = await service.post(RESPONSES, heads["ann"])
        previous = first.json()["id"]
        other = await service.post(RESPONSES, heads["bob"], previous_response_id=previous)
        mine = await service.post(RESPONSES, heads["ann"], previous_response_id=previous)
    assert other.headers["x-weft-program"].startswith("bob/")
    assert mine.headers["x-weft-program"] == first.headers["x-weft-program"]


async def test_fallbacks_leave_a_response_to_the_engine_that_has_it() -> None:
    listed = [[{"id": name, "max_model_len": 9999}] for name in "ab"]
    async with (
        raw_engine(Keeper(), models=listed[0]) as one,
        raw_engine(Keeper(), models=listed[1]) as two,
        serving(one.url, two.url, fallbacks={"a": ["b"]}) as service,
    ):
        made = await service.post(RESPONSES, model="b")
        for _ in range(2):
            more = {"model": "a", "previous_response_id": made.json()["id"]}
            made = await service.post(RESPONSES, **more)
            assert (made.status_code, made.headers["x-weft-engine"]) == (200, two.url)
