"""What the gateway hands through, and what it says of it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import anyio
import pytest

from live_service import BODIES, CHAT, GENERATING, RawEngine, answered, raw_engine, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.leases.leased_index import LeasedIndex
from weft.service.config.api_key import hash_key

pytestmark = pytest.mark.loops("asyncio")

KEYS = {"ann": "key-of-ann-0000000", "bob": "key-of-bob-0000000"}


def tenants(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": name, "keys": [hash_key(key)], **fields} for name, key in KEYS.items()]


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


async def test_bodies_arrive_byte_for_byte_with_what_nobody_knows() -> None:
    odd = {"new_field": {"deep": [1, 2.50, None, "\u2028é"]}, "weight": 1e300}
    engine = ScriptedEngine("Hello", model="m")
    headers = {"content-type": "application/json", "anthropic-beta": "x", "x-secret": "y"}
    with mock.running(engine) as url:
        async with serving(url) as service:
            for path, body in BODIES.items():
                raw = json.dumps(body | odd, indent=3).encode()
                answer = await service.http.post(path, content=raw, headers=headers)
                assert answer.status_code == 200, answer.text
                got = engine.received[-1]
                assert got.path == path
                assert got.raw == raw
                assert got.headers["anthropic-beta"] == "x"
                assert "x-secret" not in got.headers
                assert got.headers["x-request-id"] == answer.headers["x-weft-call"]


async def test_answers_are_what_the_engine_said() -> None:
    with mock.running(ScriptedEngine("Hello é", model="m")) as url:
        async with serving(url) as service:
            for path, body in BODIES.items():
                ours = await service.post(path)
                theirs = await service.http.post(url + path, json=body)
                assert ours.status_code == theirs.status_code == 200
                assert _without_ids(ours.content) == _without_ids(theirs.content)
                assert ours.headers["content-type"] == theirs.headers["content-type"]


def _without_ids(body: bytes) -> bytes:
    """Less what differs from answer to answer."""
    return re.sub(rb'"(id|item_id)": ?"[^"]*"', b"", body)


async def test_streams_are_byte_for_byte_what_the_engine_sent() -> None:
    with mock.running(ScriptedEngine("Hello é, a little longer.", model="m")) as url:
        async with serving(url) as service:
            for path in GENERATING:
                # Asked for usage, so that nothing is added for the gateway's sake.
                asked: Any = {"stream_options": {"include_usage": True}} if "comp" in path else {}
                async with service.streaming(path, **asked) as response:
                    ours = await response.aread()
                body = BODIES[path] | {"stream": True} | asked
                theirs = (await service.http.post(url + path, json=body)).content
                assert response.headers["content-type"].startswith("text/event-stream")
                assert len(ours) > 500
                assert _without_ids(ours) == _without_ids(theirs)


async def test_usage_that_only_the_gateway_asked_for_is_taken_out() -> None:
    engine = ScriptedEngine("Hello", model="m")
    with mock.running(engine) as url:
        async with serving(url) as service:
            async with service.streaming() as response:
                ours = await response.aread()
            theirs = await service.http.post(url + CHAT, json=BODIES[CHAT] | {"stream": True})
            (program,) = service.inside.registry.programs.values()
    assert _without_ids(ours) == _without_ids(theirs.content)
    assert engine.received[-2].body["stream_options"] == {"include_usage": True}
    assert (program.calls[0].prompt, program.calls[0].generated) == (4, 6)


PIECES = [b'data: {"choices":[{"delta":{"conte', b'nt":"a"}}]}\n\nda', b"ta: [DONE]\n\n"]


async def test_a_stream_is_passed_on_as_it_comes_however_it_is_cut() -> None:
    async def reply(_: bytes, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        for piece in PIECES:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with raw_engine(reply) as engine, serving(engine.url) as service:
        asked: Any = {"stream_options": {"include_usage": True}}
        for _ in range(3):  # the connection to the engine is used again
            async with service.streaming(**asked) as response:
                assert await response.aread() == b"".join(PIECES)
        assert len(service.inside.upstreams) == 1


async def test_programs_are_known_by_name_and_by_growth() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            named = await service.post(_headers={"x-weft-program": "mine", "x-weft-name": "me"})
            assert named.headers["x-weft-program"] == "mine"
            grown: list[str] = []
            messages = [{"role": "user", "content": "count"}]
            for _ in range(3):
                answer = await service.post(messages=messages)
                grown.append(answer.headers["x-weft-program"])
                messages.append(answer.json()["choices"][0]["message"])
                messages.append({"role": "user", "content": "more"})
            assert len(set(grown)) == 1
            other = await service.post(messages=[{"role": "user", "content": "other"}])
            assert other.headers["x-weft-program"] not in grown
            found = (await service.http.get("/v1/programs/mine")).json()
            assert (found["name"], found["calls"], found["prompt"]) == ("me", 1, 4)
            assert (await service.http.get(f"/v1/programs/{grown[0]}")).json()["calls"] == 3
            assert (await service.http.get("/v1/programs/none")).status_code == 404


async def test_headers_tell_where_a_call_went_and_whether_it_waited() -> None:
    gate = asyncio.Event()

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(answered(200, b'{"choices":[]}'))

    async with raw_engine(reply) as engine:
        one = {"spec": engine.url, "name": "one", "concurrency": 1}
        async with serving(one) as service, asyncio.TaskGroup() as group:
            asked = [group.create_task(service.post())]
            await until(lambda: engine.asked == 1)
            asked.append(group.create_task(service.post()))
            await until(lambda: service.inside.scheduler.waiting == 1)
            await asyncio.sleep(0.06)
            gate.set()
    first, second = (one.result() for one in asked)
    for answer in (first, second):
        assert answer.headers["x-weft-engine"] == "one"
        assert answer.headers["x-weft-program"]
        assert answer.headers["x-weft-where"]
    assert float(first.headers["x-weft-waited"]) >= 0
    assert "x-weft-wait" not in first.headers
    assert float(second.headers["x-weft-waited"]) > 0.05
    assert second.headers["x-weft-wait"]


async def test_tenants_prefixes_are_salted_apart() -> None:
    engine = ScriptedEngine("Hello", model="m")
    with mock.running(engine) as url:
        async with serving(url, tenants=tenants()) as service:
            for path, body in ((path, BODIES[path]) for path in GENERATING):
                engine.received.clear()
                for name in KEYS:
                    assert (await service.post(path, bearer(name))).status_code == 200
                    assert (await service.post(path, bearer(name), cache_salt="own")).is_success
                salts = [one.body["cache_salt"] for one in engine.received]
                assert len(set(salts)) == 4
                assert "own" not in salts
                # The client's own bytes follow what was put in.
                plain, own = list(engine.received)[:2]
                assert plain.raw.endswith(
                    b"," + json.dumps(body, separators=(",", ":"))[1:].encode()
                )
                assert {k: v for k, v in own.body.items() if k != "cache_salt"} == body


async def test_the_same_text_of_two_tenants_is_two_programs_that_each_sees_alone() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, tenants=tenants()) as service:
            mine = {"x-weft-program": "p"}
            for name in KEYS:
                answer = await service.post(_headers=bearer(name) | mine)
                assert answer.headers["x-weft-program"] == f"{name}/p"
            listed = await service.http.get("/v1/programs", headers=bearer("ann"))
            assert [one["id"] for one in listed.json()["data"]] == ["ann/p"]
            for id in ("p", "ann/p"):
                got = await service.http.get(f"/v1/programs/{id}", headers=bearer("ann"))
                assert got.json()["id"] == "ann/p"
            for method in ("GET", "DELETE"):
                other = await service.http.request(
                    method, "/v1/programs/bob/p", headers=bearer("ann")
                )
                assert other.status_code == 404


async def test_an_engines_refusal_is_the_clients_answer() -> None:
    async def reply(_: bytes, writer: Any) -> None:
        body = b'{"error": {"message": "no such thing", "odd": 1}}'
        writer.write(
            b"HTTP/1.1 422 Nope\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )

    async with raw_engine(reply) as engine, serving(engine.url) as service:
        for stream in (False, True):
            answer = await service.post(stream=stream)
            assert answer.status_code == 422
            assert answer.json() == {"error": {"message": "no such thing", "odd": 1}}
            assert answer.headers["content-type"] == "application/problem+json"
        assert isinstance(engine, RawEngine)
        assert engine.asked == 2
        assert service.inside.scheduler.replicas[0].alive


async def test_an_engine_that_schedules_by_priority_hears_which_program_began_first() -> None:
    engine = ScriptedEngine("Hello", model="m")
    with mock.running(engine) as url:
        async with serving(f"{url}?priority=true") as service:
            told: list[int] = []
            for session in ("a", "b", "a"):
                await service.post(CHAT, {"x-session-id": session})
                told.append(json.loads(engine.received[-1].raw)["priority"])
                await anyio.sleep(0.002)  # milliseconds count
            assert told[0] == told[2] < told[1]
            await service.post(CHAT, priority=7)
            assert json.loads(engine.received[-1].raw)["priority"] == 7
            await service.post("/v1/messages")
            assert "priority" not in json.loads(engine.received[-1].raw)


async def test_of_a_streamed_answer_as_much_is_known_to_be_held_as_of_a_whole_one() -> None:
    engine = ScriptedEngine("Hello", model="m")
    engine.leases = True
    text = [{"role": "user", "content": "one two three " * 200}]
    with mock.running(engine) as url:
        held: list[int] = []
        for stream in (False, True):
            async with serving(url) as service:
                session = {"x-session-id": "a"}
                await service.post(CHAT, session, messages=text, stream=stream)
                [replica] = service.inside.scheduler.dispatcher.fleets["m"].replicas
                assert isinstance(replica.index, LeasedIndex)
                held.append(replica.index.leased)
        assert held[0] == held[1] > 0


async def test_an_engine_with_leases_hears_of_them_from_the_scheduler_alone() -> None:
    engine = ScriptedEngine("Hello", model="m")
    engine.leases = True
    with mock.running(engine) as url:
        async with serving(url) as service:

            async def told(path: str, **more: Any) -> dict[str, Any]:
                await service.post(path, {"x-session-id": "a"}, **more)
                return json.loads(engine.received[-1].raw)["kv_transfer_params"]

            first = await told(CHAT)
            assert first["weft"]["lease"].endswith(":a")
            assert first["weft"]["supersedes"]
            assert (await told("/v1/messages"))["weft"]["lease"] == first["weft"]["lease"]
            # A client could end what the engine holds for others.
            theirs = {"weft": {"lease": "x", "forget": ["*"]}, "of another connector": 1}
            sent = await told(CHAT, kv_transfer_params=theirs)
            assert sent["of another connector"] == 1
            assert sent["weft"]["lease"] == first["weft"]["lease"]
            assert "forget" not in sent["weft"]
            assert (await told(CHAT, kv_transfer_params=None)).keys() == {"weft"}
        async with serving(f"{url}?leases=false") as service:
            await service.post(CHAT)
            assert "kv_transfer_params" not in json.loads(engine.received[-1].raw)
            assert (await told(CHAT, kv_transfer_params=theirs)) == {"of another connector": 1}
            await service.post(CHAT, kv_transfer_params={"weft": theirs["weft"]})
            assert "kv_transfer_params" not in json.loads(engine.received[-1].raw)
