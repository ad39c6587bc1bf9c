"""What tenants see of engines."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from live_service import GENERATING, LiveService, raw_engine, serving
from waiting import until
from weft.backends.engine import Engine
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.service.config.api_key import hash_key
from weft.service.engines.public_names import EngineNames

pytestmark = pytest.mark.loops("asyncio")

KEY, ROOT = "key-of-ann-0000000", "key-of-root-000000"
ANN, ADMIN = {"x-api-key": KEY}, {"x-api-key": ROOT}
TENANTS: dict[str, Any] = {
    "tenants": [{"name": "ann", "keys": [hash_key(KEY)]}],
    "admin": {"keys": [hash_key(ROOT)]},
}


def named(name: str, url: str) -> Engine:
    engine = ScriptedEngine(name=name)
    engine.url = url
    return engine


def test_engines_without_a_name_of_their_own_are_numbered() -> None:
    names = EngineNames()
    assert names.shown("http://h:80 is full") == "http://h:80 is full"
    names.add(named("fast", "http://h:9/v1"), given=True)
    assert names.shown("fast at http://h:9 is full") == "fast at fast is full"
    names.add(named("http://h:80", "http://h:80"), given=False)
    names.add(named("m@http://h:8000/v1", "http://h:8000/v1"), given=False)
    text = "http://h:8000 broke; http://h:80 is full; m@http://h:8000/v1 too"
    assert names.shown(text) == "engine-2 broke; engine-1 is full; engine-2 too"
    names.add(named("http://h:80", "http://h:80"), given=False)  # it is there again
    names.add(named("http://h:81", "http://h:81"), given=False)
    assert [names.shown(f"http://h:{port}") for port in (80, 81)] == ["engine-1", "engine-3"]


async def everything(service: LiveService, headers: dict[str, str]) -> str:
    """All that can be read with a key."""
    listed = (await service.http.get("/v1/programs?ended=true", headers=headers)).json()
    paths = ["/ready", "/metrics", "/v1/models", "/v1/programs?ended=true", "/admin/engines"]
    paths += [f"/v1/programs/{one['id']}" for one in listed.get("data", [])]
    answers = [await service.http.get(path, headers=headers) for path in paths]
    return "".join(map(whole, answers))


def whole(answer: httpx.Response) -> str:
    return str(dict(answer.headers)) + answer.text


async def test_tenants_see_no_addresses_whatever_happens() -> None:
    engine = ScriptedEngine({"slow": Scripted("x" * 10_000, seconds=0.01)}, model="m")
    slow: Any = {"messages": [{"role": "user", "content": "slow"}]}
    broken = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {"
    with mock.running(engine) as url:
        async with raw_engine(broken) as other:
            specs = [{"spec": url, "concurrency": 1}, {"spec": other.url, "name": "spare"}]
            said = ""
            async with serving(
                *specs,
                limits={"queue_seconds": 0.3, "outage_seconds": 0.1},
                health={"interval": 0.1},
                **TENANTS,
            ) as service:
                for path in GENERATING:  # one of the engines breaks off
                    for stream in (False, True):
                        said += whole(await service.post(path, ANN, stream=stream))
                other.well = False
                replicas = {r.name: r for r in service.inside.scheduler.replicas}
                spare = replicas["spare"]  # they join in any order
                await until(lambda: not spare.alive)
                async with asyncio.TaskGroup() as group:
                    mine = ANN | {"x-weft-program": "p"}
                    group.create_task(service.post(_headers=mine, **slow))
                    await until(lambda: engine.running)
                    refused = await service.post(_headers=ANN)
                    assert refused.status_code == 503
                    waits = group.create_task(service.post(_headers=mine))
                    await until(lambda: service.inside.scheduler.waiting)
                    said += await everything(service, ANN)
                    await service.http.delete("/v1/programs/p", headers=ANN)
                    said += whole(await waits) + whole(refused)
                engine.kill()
                said += whole(await service.post(_headers=ANN))
                said += whole(await service.post("/tokenize", ANN))
                said += await everything(service, ANN) + await everything(service, {})
                assert "engine-1 is full" in said
                assert "spare" in said
                for address in (url, other.url):
                    assert f":{address.rpartition(':')[2]}" not in said
                seen = await everything(service, ADMIN)
                assert all(text in seen for text in (f"{url} is full", "engine-1"))


async def test_without_tenants_engines_are_what_they_are() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            answer = await service.post()
            assert answer.headers["x-weft-engine"] == url
            assert url in await everything(service, {})
