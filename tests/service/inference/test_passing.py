"""Paths that are passed on, headers that go with requests, and pages in browsers."""

# ruff: noqa: SIM117 - engines around services read better so

from __future__ import annotations

import asyncio
import json
import os
import signal
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from pydantic import ValidationError

from live_service import BODIES, answered, raw_engine, serving
from waiting import until
from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.service.config.api_key import hash_key
from weft.service.config.file import ServiceConfig

pytestmark = pytest.mark.loops("asyncio")

KEY = {"authorization": "Bearer key-of-ann-0000000"}
ANN = {"name": "ann", "keys": [hash_key("key-of-ann-0000000")]}


UPGRADE = {"connection": "upgrade", "upgrade": "websocket"}


class Echo:
    """An engine that tells what it was sent."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.status, self.held = 200, asyncio.Event()

    async def __call__(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, body = sent.partition(b"\r\n\r\n")
        self.heads.append(head.decode("latin-1"))
        self.bodies.append(body)
        if b"hold" in body:
            await self.held.wait()
        if b"speech" in head:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n")
            writer.write(b"transfer-encoding: chunked\r\n\r\n")
            for part in (b"\xff\xfb", b"sound"):
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(answered(self.status, json.dumps({"results": [], "data": []}).encode()))

    @property
    def line(self) -> str:
        return self.heads[-1].partition(" HTTP/1.1")[0]


async def test_listed_paths_reach_an_engine_as_they_are() -> None:
    echo = Echo()
    async with raw_engine(echo, gets=True) as engine:
        async with serving(engine.url, aliases={"rerank-*": "m"}) as service:
            asked = {"model": "m", "query": "q", "documents": ["a"], "odd": [1]}
            for path in ("/rerank", "/v1/rerank", "/v2/rerank", "/score", "/pooling", "/classify"):
                answer = await service.http.post(path, json=asked)
                assert answer.json() == {"results": [], "data": []}
                assert echo.line == f"POST {path}"
                assert json.loads(echo.bodies[-1]) == asked
            await service.http.post("/v1/rerank/", json=asked | {"model": "rerank-3"})
            assert json.loads(echo.bodies[-1]) == asked
            assert (
                await service.http.post("/rerank", json=asked | {"model": "n"})
            ).status_code == 404
            assert (await service.http.post("/other", json=asked)).status_code == 404

            base = f"http://127.0.0.1:{service.port}/v1"
            async with openai.AsyncOpenAI(base_url=base, api_key="k") as client:
                sound = await client.audio.speech.create(model="m", input="hi", voice="a")
                assert sound.content == b"\xff\xfbsound"
                await client.audio.transcriptions.create(model="rerank-9", file=("a.wav", b"RIFF"))
                assert b'name="model"\r\n\r\nm\r\n--' in echo.bodies[-1]
                assert b"RIFF" in echo.bodies[-1]
                assert "multipart/form-data; boundary=" in echo.heads[-1]
                await client.files.create(file=("a.txt", b"text"), purpose="batch")
                assert echo.line == "POST /v1/files"
                assert [f async for f in client.files.list(limit=3)] == []
                assert echo.line == "GET /v1/files?limit=3"
                await client.files.delete("f 1/ü")
                assert (
                    echo.line.startswith("DELETE /v1/files/f%201%2F%C3%BC") or "%C3%BC" in echo.line
                )
            echo.status = 422
            assert (await service.http.post("/score", json=asked)).status_code == 422
            assert service.idle()
            metrics = (await service.http.get("/metrics")).text
            assert 'path="/v1/files*"' in metrics
            assert "f%201" not in metrics


async def test_passed_paths_have_the_keys_and_limits_of_all_others() -> None:
    echo = Echo()
    async with raw_engine(echo, gets=True) as engine:
        more: dict[str, Any] = {"tenants": [ANN | {"concurrency": 1}], "passed": ["/mine"]}
        async with serving(engine.url, limits={"body_bytes": 1000}, **more) as service:
            asked = {"model": "m"}
            assert (await service.http.post("/rerank", json=asked, headers=KEY)).status_code == 404
            assert (await service.http.post("/mine", json=asked)).status_code == 401
            assert (await service.http.get("/mine")).status_code == 401
            assert (await service.http.get("/mine", headers=KEY)).status_code == 200
            large = await service.http.post("/mine", content=b"x" * 1001, headers=KEY)
            assert large.status_code == 413
            held = {"model": "m", "x": "hold"}
            holding = asyncio.create_task(service.http.post("/mine", json=held, headers=KEY))
            await until(lambda: echo.bodies[-1].find(b"hold") > 0)
            assert (await service.http.post("/mine", json=asked, headers=KEY)).status_code == 429
            echo.held.set()
            assert (await holding).status_code == 200
            assert "key-of-ann" not in "".join(echo.heads)


async def test_headers_on_the_list_go_on_to_engines_and_no_others() -> None:
    echo = Echo()
    async with raw_engine(echo) as engine:
        async with serving(
            engine.url, forward_headers=["X-Team", "user-agent", "tracestate"]
        ) as service:
            sent = {
                "x-team": "blue",
                "x-other": "no",
                "user-agent": "mine/1",
                "traceparent": "00-1",
            }
            for path in (*[p for p in BODIES if "tokenize" not in p], "/rerank"):
                body = BODIES.get(path, {"model": "m"})
                assert (await service.http.post(path, json=body, headers=sent)).status_code == 200
                head = echo.heads[-1].lower()
                for line in ("x-team: blue", "user-agent: mine/1", "traceparent: 00-1"):
                    assert f"\r\n{line}\r\n" in head + "\r\n"
                assert "x-other" not in head
                repeated = [
                    *[("x-team", "blue"), ("X-Team", "red"), ("x-team", "blue")],
                    *[("anthropic-beta", "a"), ("anthropic-beta", "b"), ("cookie", "c")],
                ]
                answer = await service.http.post(path, json=body, headers=repeated)
                assert answer.status_code == 200
                lines = echo.heads[-1].lower().split("\r\n")
                assert {"x-team: blue, red", "anthropic-beta: a, b"} < set(lines)
                assert len({line.partition(":")[0] for line in lines}) == len(lines)
    for name, said in (
        ("Authorization", "keys"),
        ("Content-Length", "connection"),
        ("Accept-Encoding", "connection"),
        ("X-Request-Id", "connection"),
        ("x-*", "name of a header"),
        ("x-team: blue", "name of a header"),
    ):
        with pytest.raises(ValidationError, match=said):
            ServiceConfig.model_validate({"engines": ["http://h:1"], "forward_headers": [name]})


async def test_every_answer_has_an_id_the_requests_own_if_it_has_one() -> None:
    async with raw_engine(Echo()) as engine, serving(engine.url) as service:
        own = {"x-request-id": "mine-1"}
        for path, body in {**BODIES, "/rerank": {"model": "m"}}.items():
            for fields in (body, body | {"model": "n"}, body | {"model": 7}):
                answer = await service.http.post(path, json=fields, headers=own)
                assert answer.headers["x-request-id"] == "mine-1", path
            given = await service.http.post(path, json=body)
            assert given.headers["x-request-id"] == given.headers["x-weft-call"]
        more: list[dict[str, str]] = [{}, UPGRADE, {"host": "elsewhere"}]
        ids: list[str] = []
        for path in ("/health", "/v1/models", "/v1/responses", "/nothing"):
            for headers in more:
                answer = await service.http.get(path, headers=own | headers)
                assert answer.headers.get_list("x-request-id") == ["mine-1"]
                answer = await service.http.get(path, headers=headers)
                ids += answer.headers.get_list("x-request-id")
        assert len(set(ids)) == len(ids) == 12
        async with serving(engine.url, tenants=[ANN]) as locked:
            for path, body in BODIES.items():
                answer = await locked.http.post(path, json=body)
                assert answer.status_code == 401
                (id,) = answer.headers.get_list("x-request-id")
                own_name = answer.headers.get("request-id")
                assert own_name == (id if path.startswith("/v1/messages") else None)
        named = await service.post(_headers={"x-weft-program": "ключ".encode()})
        assert named.headers["x-weft-program"].encode() == "ключ".encode()


async def test_pages_of_listed_origins_may_ask() -> None:
    origins = ["https://App.example/"]  # as an address bar has it
    asks = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-stainless-os",
    }
    page, other = {"origin": "https://app.example"}, {"origin": "https://evil.example"}
    async with raw_engine(Echo()) as engine:
        async with serving(engine.url, origins=origins, tenants=[ANN]) as service:
            for path, body in {**BODIES, "/rerank": {"model": "m"}}.items():
                if path == "/detokenize":  # which this engine does not have
                    continue
                before = await service.http.options(path, headers=page | asks)
                assert before.status_code == 204
                told = before.headers
                assert told["access-control-allow-origin"] == "https://app.example"
                assert told.get_list("access-control-allow-origin") == ["https://app.example"]
                assert {"POST", "PUT"} < set(told["access-control-allow-methods"].split(", "))
                wished = asks["access-control-request-headers"]
                assert told["access-control-allow-headers"] == wished
                for key, status in ((KEY, 200), ({}, 401)):
                    answer = await service.http.post(path, json=body, headers=key | page)
                    assert answer.status_code == status
                    assert answer.headers["access-control-allow-origin"] == "https://app.example"
                    assert "x-weft-program" in answer.headers["access-control-expose-headers"]
                foreign = await service.http.post(path, json=body, headers=KEY | other)
                assert "access-control-allow-origin" not in foreign.headers
            assert (await service.http.options(path, headers=other | asks)).status_code == 403
            assert (await service.http.options("/v1/models")).status_code == 405  # for no page
            socket = await service.http.get("/v1/responses", headers=page | UPGRADE)
            assert socket.status_code == 426
            assert socket.headers["access-control-allow-origin"] == "https://app.example"
            models = await service.http.get("/v1/models", headers=KEY | page)
            assert models.headers["access-control-allow-origin"] == "https://app.example"
        async with serving(engine.url) as service:
            answer = await service.post(_headers=page)
            assert not [name for name in answer.headers if "access-control" in name]
            assert (
                await service.http.options("/v1/models", headers=page | asks)
            ).status_code == 405
        async with serving(engine.url, origins=["*"]) as service:
            answer = await service.post(_headers=page)
            assert answer.headers["access-control-allow-origin"] == "*"
    for wrong in ("app.example", "https://app.example/chat", "https://*.example", "null"):
        with pytest.raises(ValidationError, match=r"must be an origin such as https://"):
            ServiceConfig.model_validate({"engines": ["http://h:1"], "origins": [wrong]})


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/files"])
@pytest.mark.parametrize("kind", ["audio/mpeg", "text/event-stream"])
async def test_what_breaks_within_an_answer_is_told_once_and_is_no_success(
    path: str, kind: str
) -> None:
    async def breaks(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answered(200, b"data: 1\n\n" * 9, kind)[:-3])
        await writer.drain()
        writer.close()

    async with (
        raw_engine(breaks, gets=True) as one,
        raw_engine(breaks, gets=True) as two,
        serving(one.url, two.url) as service,
    ):
        got = b""
        try:
            async with service.http.stream("POST", path, json={"model": "m"}) as answer:
                assert answer.status_code == 200
                async for part in answer.aiter_raw():
                    got += part
        except httpx.RemoteProtocolError:
            assert kind == "audio/mpeg"
        assert got.startswith(b"data: 1")
        assert (b"broke the connection" in got) == (kind != "audio/mpeg")
        await until(service.idle)
        assert one.asked + two.asked == 1
        metrics = (await service.http.get("/metrics")).text
        assert 'outcome="broken"' in metrics
        assert 'outcome="done"' not in metrics


@pytest.mark.parametrize("kind", ["audio/mpeg", "text/event-stream"])
async def test_what_a_stop_cuts_within_an_answer_is_told_once_and_is_no_success(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def goes_on(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answered(200, b"data: 1\n\n" * 9, kind)[:-3])
        await writer.drain()
        await asyncio.Event().wait()  # for ever

    async with raw_engine(goes_on) as engine:
        async with serving(engine.url, limits={"drain_seconds": 0.1}) as service:
            got, calls = b"", list[Any]()
            watch: Any = SimpleNamespace(call_ended=calls.append)
            service.inside.registry.observers.append(watch)
            try:
                async with service.http.stream("POST", "/rerank", json={"model": "m"}) as answer:
                    os.kill(os.getpid(), signal.SIGTERM)
                    async for part in answer.aiter_raw():
                        got += part
            except httpx.RemoteProtocolError:
                assert kind == "audio/mpeg"
            assert got.startswith(b"data: 1")
            assert (b"the service has stopped" in got) == (kind != "audio/mpeg")
            await until(service.idle)
            assert [(call.status, call.outcome) for call in calls] == [(200, "broken")]
            assert "the service has stopped" in calls[0].error
    assert not [r for r in caplog.records if r.name.startswith("uvicorn")]


async def test_lm_eval_asks_for_tokens_without_a_model_and_for_echoes() -> None:
    with (
        running(ScriptedEngine("", model="m")) as first,
        running(ScriptedEngine("", model="n")) as second,
    ):
        async with serving(first) as service:
            asked: dict[str, Any] = {"prompt": "test", "add_special_tokens": False}
            tokens = (await service.http.post("/tokenize", json=asked)).json()["tokens"]
            text = (await service.http.post("/detokenize", json={"tokens": tokens})).json()
            assert text == {"prompt": "test"}
            for body in ({"prompt": "x", "model": 3}, {"prompt": "x", "model": ""}):
                assert (await service.http.post("/tokenize", json=body)).status_code == 400
            refused = await service.http.post("/v1/completions", json={"prompt": "x"})
            assert refused.status_code == 400
            assert "model must be a non-empty string" in refused.text
        async with serving(first, second) as service:
            several = await service.http.post("/tokenize", json={"prompt": "x"})
            assert several.status_code == 400
            assert "model must be named, since 2 are served" in several.text
    echo = Echo()
    async with raw_engine(echo, gets=True) as engine:
        async with serving(engine.url) as service:
            assert (await service.http.get("/tokenizer_info")).status_code == 200
            assert echo.line == "GET /tokenizer_info"
            asked = {"model": "m", "prompt": [[5, 6, 7], [5]], "max_tokens": 1, "temperature": 0}
            asked |= {"logprobs": 1, "seed": 1234, "echo": True}
            assert (await service.http.post("/v1/completions", json=asked)).status_code == 200
            sent = json.loads(echo.bodies[-1])
            assert {key: sent[key] for key in asked} == asked
