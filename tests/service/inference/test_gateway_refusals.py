"""What the gateway turns down: each in its protocol's own form, with the time to come again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from live_service import BODIES, CHAT, GENERATING, LiveService, answered, raw_engine, serving
from waiting import PATIENCE, until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.service.config.api_key import hash_key

pytestmark = pytest.mark.loops("asyncio")

KEY = {"authorization": "Bearer key-of-ann-0000000"}
ANTHROPIC = ("/v1/messages", "/v1/messages/count_tokens")


def tenant(**fields: Any) -> dict[str, Any]:
    return {"tenants": [{"name": "ann", "keys": [hash_key("key-of-ann-0000000")], **fields}]}


def error(answer: httpx.Response, status: int, path: str) -> str:
    """The message of an error that has its protocol's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    if path in ANTHROPIC:
        assert body["type"] == "error"
        assert set(body["error"]) == {"type", "message"}
    else:
        assert set(body) == {"error"}
        assert {"message", "type", "code", "param"} <= set(body["error"])
    assert body["error"]["type"]
    assert body["error"]["message"]
    return body["error"]["message"]


async def test_what_is_wrong_is_said_in_each_protocols_form() -> None:
    limits = {"body_bytes": 10_000}
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, limits=limits, **tenant()) as service:
            for path in BODIES:
                await _all_that_is_wrong(service, path)
            service.inside.draining = True
            for path in BODIES:
                answer = await service.post(path, KEY)
                assert "stopping" in error(answer, 503, path)
                assert answer.headers["retry-after"] == "5"


async def _all_that_is_wrong(service: LiveService, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer no"}, {"x-api-key": "no"}):
        assert "key" in error(await service.post(path, headers), 401, path)
    for headers in ({"x-api-key": KEY["authorization"][7:]}, KEY):
        assert (await service.post(path, headers)).status_code == 200
    unknown = error(await service.post(path, KEY, model="n"), 404, path)
    assert "'n'" in unknown
    assert "did you mean m" in unknown
    assert "model" in error(await service.post(path, KEY, model=7), 400, path)
    large = error(await service.post(path, KEY, more="x" * 10_000), 413, path)
    assert "10000 bytes" in large
    for raw in (b"", b"{", b"[1]", b"\xff\xfe{}", b'{"model": "m", }', b"null"):
        answer = await service.http.post(path, content=raw, headers=KEY)
        assert "JSON" in error(answer, 400, path)


async def test_a_tenants_own_limits_are_429() -> None:
    engine = ScriptedEngine("x" * 1000, model="m", token_seconds=0.02)
    with mock.running(engine) as url:
        limited = tenant(concurrency=1, requests_per_minute=6)
        async with serving(url, **limited) as service:
            async with service.streaming(CHAT, KEY):
                for path in BODIES:
                    again = await service.post(path, KEY)
                    assert "1 requests" in error(again, 429, path)
                    assert again.headers["retry-after"] == "1"
            await until(service.idle)
            for _ in range(5):
                assert (await service.post(CHAT, KEY, max_tokens=1)).status_code == 200
            for path in BODIES:
                over = await service.post(path, KEY)
                assert "6 requests a minute" in error(over, 429, path)
                assert 1 <= int(over.headers["retry-after"]) <= 10
            assert service.idle()


async def test_programs_of_a_tenant_are_limited() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, **tenant(programs=2)) as service:
            for name in "ab":
                assert (await service.post(_headers=KEY | {"x-weft-program": name})).is_success
            third = await service.post(_headers=KEY | {"x-weft-program": "c"})
            assert "2 programs" in error(third, 429, CHAT)
            assert int(third.headers["retry-after"]) >= 1
            assert (await service.post(_headers=KEY | {"x-weft-program": "a"})).is_success
            done = await service.http.delete("/v1/programs/a", headers=KEY)
            assert done.json()["deleted"]
            assert (await service.post(_headers=KEY | {"x-weft-program": "c"})).is_success
            assert set(service.inside.registry.programs) == {"ann/b", "ann/c"}


async def test_tokens_of_a_tenant_are_limited() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, **tenant(tokens_per_minute=300)) as service:
            assert (await service.post(_headers=KEY, max_tokens=200)).is_success
            # What was expected and not used is given back: 4 tokens and 6 were.
            assert (await service.post(_headers=KEY, max_tokens=200)).is_success
            text = [{"role": "user", "content": "x" * 1100}]
            assert (await service.post(_headers=KEY, messages=text)).status_code == 429


@pytest.mark.parametrize("stream", [False, True])
async def test_a_strategy_that_fails_has_taken_what_its_calls_took(stream: bool) -> None:
    engine = ScriptedEngine(Scripted("x" * 40, dies_after=20), model="m")
    with mock.running(engine) as url:
        async with serving(url, **tenant(tokens_per_minute=400)) as service:
            answer = await service.post(CHAT, KEY, model="m:majority(n=4)", stream=stream)
            assert b'"error"' in answer.content
            (program,) = (await service.http.get("/v1/programs?ended=true", headers=KEY)).json()[
                "data"
            ]
            seen = await service.http.get(f"/v1/programs/{program['id']}", headers=KEY)
            whole, *calls = seen.json()["graph"]["nodes"]
            assert whole["generated"] == sum(call["generated"] for call in calls) >= 4 * 20
            assert whole["prompt"] == sum(call["prompt"] for call in calls) > 0
            text = [{"role": "user", "content": "x" * 800}]  # about 200 tokens, and the answer
            again = await service.post(CHAT, KEY, messages=text, max_tokens=80)
            assert again.status_code == 429


async def test_a_full_queue_is_503() -> None:
    mine = {"x-weft-program": "p"}
    engine = ScriptedEngine("x" * 1000, model="m", token_seconds=0.05)
    with mock.running(engine) as url:
        limits = {"queue": 2}
        async with serving({"spec": url, "concurrency": 1}, limits=limits) as service:
            tasks = [asyncio.create_task(service.post(CHAT, mine))]
            await until(lambda: engine.running == 1)
            for n in (1, 2):
                tasks.append(asyncio.create_task(service.post(CHAT, mine)))
                await until(lambda n=n: service.inside.scheduler.waiting == n)
            for path in GENERATING:
                over = await service.post(path, mine)
                assert "2 requests wait" in error(over, 503, path)
                assert int(over.headers["retry-after"]) >= 1
            for task in tasks:
                task.cancel()
            await until(service.idle)
            await until(lambda: not engine.running)


async def test_who_waits_too_long_is_told() -> None:
    engine = ScriptedEngine("x" * 1000, model="m", token_seconds=0.05)
    with mock.running(engine) as url:
        limits = {"queue_seconds": 0.2, "keepalive_seconds": 30}
        async with serving({"spec": url, "concurrency": 1}, limits=limits) as service:
            async with service.streaming():
                both = [(path, stream) for path in GENERATING for stream in (False, True)]
                asked = (service.post(path, stream=stream) for path, stream in both)
                for (path, _), late in zip(both, await asyncio.gather(*asked), strict=True):
                    assert "no engine had room" in error(late, 503, path)
                    assert int(late.headers["retry-after"]) >= 1
                    assert late.headers["x-weft-program"]
            await until(service.idle)


async def test_engines_that_are_gone_are_503() -> None:
    async def reply(_: bytes, writer: Any) -> None:
        writer.close()

    limits = {"outage_seconds": 0.3}
    async with raw_engine(reply) as engine, serving(engine.url, limits=limits) as service:
        engine.well = False
        for path in BODIES:
            if path.endswith("tokenize"):  # the engine answers that
                continue
            for stream in (False, True):
                answer = await service.post(path, stream=stream)
                error(answer, 503, path)
                assert int(answer.headers["retry-after"]) >= 1
        assert service.idle()


async def test_a_service_without_engines_is_503_until_one_comes() -> None:
    async with serving("http://127.0.0.1:9", limits={"connect_seconds": 1}) as service:
        for path in BODIES:
            answer = await service.post(path)
            assert "no engine can be reached yet" in error(answer, 503, path)
            assert answer.headers["retry-after"]
        ready = await service.http.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "no engine is up")
        assert (await service.http.get("/health")).status_code == 200


async def test_a_body_that_does_not_come_is_408() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, limits={"client_stall_seconds": 0.3}) as service:

            async def stalling(path: str) -> None:
                async with service.connected() as (reader, writer):
                    writer.write(_head(path, 100) + b'{"model"')
                    said = await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE)
                assert said.startswith(b"HTTP/1.1 408 ")
                assert b'"message":"nothing came of the body' in said

            await asyncio.gather(*map(stalling, GENERATING))
            await until(service.idle)


async def test_a_body_that_trickles_is_only_slow() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, limits={"client_stall_seconds": 1}) as service:
            body = json.dumps(BODIES[CHAT]).encode().ljust(150)
            async with service.connected() as (reader, writer):
                writer.write(_head(CHAT, len(body)))
                for byte in body:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.01)
                assert b" 200 " in await reader.readline()


def _head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n".encode()


async def test_admin_routes_need_the_admins_key() -> None:
    admin: Any = {"admin": {"keys": [hash_key("key-of-root-000000")]}}
    root = {"authorization": "Bearer key-of-root-000000"}
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, **tenant(), **admin) as service:
            for method, path in (
                ("POST", "/admin/reload"),
                ("GET", "/admin/engines"),
                ("POST", f"/admin/engines/{url}/drain"),
            ):
                for headers in ({}, KEY):
                    answer = await service.http.request(method, path, headers=headers)
                    assert "admin key" in error(answer, 403, path)
            engines = await service.http.get("/admin/engines", headers=root)
            assert [one["name"] for one in engines.json()["data"]] == [url]
            assert (await service.post(_headers=root)).status_code == 401
            for path in ("/v1/models", "/v1/programs"):
                assert (await service.http.get(path)).status_code == 401
                assert (await service.http.get(path, headers=KEY)).status_code == 200
                assert (await service.http.get(path, headers=root)).status_code == 200


async def test_paths_and_methods_that_there_are_not() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            for method, path, status in (
                ("GET", "/v1/nothing", 404),
                ("GET", CHAT, 405),
                ("POST", "/v1/models", 405),
                ("DELETE", "/health", 405),
                ("GET", "/v1/models/none", 404),
                ("DELETE", "/v1/programs/none", 404),
            ):
                error(await service.http.request(method, path), status, path)


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "temperature is too high", "type": "x", "code": 400}},
        {"object": "error", "message": "temperature is too high", "code": 400},
        {"detail": "temperature is too high"},
        {"error": "temperature is too high"},
    ],
)
async def test_claude_reads_what_an_engine_says_in_other_forms(said: dict[str, object]) -> None:
    refusing = raw_engine(answered(400, json.dumps(said).encode()))
    async with refusing as engine, serving(engine.url) as service:
        answer = await service.post("/v1/messages")
        assert answer.status_code == 400
        assert answer.json()["type"] == "error"
        assert answer.json()["error"]["message"] == "temperature is too high"
        # For others it stays as it is.
        assert (await service.post(CHAT)).json() == said
