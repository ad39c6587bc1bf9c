"""What clients send around a request: encodings, offers of other protocols, odd paths, size."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import brotli
import openai
import orjson
import pytest

from live_service import BODIES, CHAT, RawEngine, answered, raw_engine, serving
from waiting import PATIENCE, until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import NotAnEngine
from weft.service.inference import gateway, scheduled
from weft.service.inference.aside import LARGE, aside
from weft.service.protocols import Body, Used
from weft.service.protocols.unscheduled.embeddings import Embeddings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.loops("asyncio")

H2C = (
    b"POST %b HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade, HTTP2-Settings\r\n"
    b"upgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)


async def test_compressed_bodies_are_served_at_every_endpoint() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, limits={"body_bytes": 100_000}) as service:
            for path, fields in BODIES.items():
                body = json.dumps(fields).encode()
                for name, sent in (
                    ("gzip", gzip.compress(body)),
                    ("deflate", zlib.compress(body)),
                    ("br", brotli.compress(body)),
                    ("zstd", zstd.compress(body)),
                    ("br, gzip", gzip.compress(brotli.compress(body))),
                    ("identity", body),
                ):
                    headers = {"content-encoding": name}
                    answer = await service.http.post(path, content=sent, headers=headers)
                    assert answer.status_code == 200, answer.text
                bomb = zstd.compress(json.dumps(fields | {"x": "a" * 100_000}).encode())
                headers = {"content-encoding": "zstd"}
                answer = await service.http.post(path, content=bomb, headers=headers)
                assert answer.status_code == 413
                assert "decodes to more than 100000 bytes" in answer.text
                headers = {"content-encoding": "lzw"}
                answer = await service.http.post(path, content=body, headers=headers)
                assert answer.status_code == 415
                assert "gzip, deflate, br, zstd" in answer.text
            twice = [("content-encoding", "br"), ("content-encoding", "gzip")]
            body = gzip.compress(brotli.compress(json.dumps(BODIES[CHAT]).encode()))
            answer = await service.http.post(CHAT, content=body, headers=twice)
            assert answer.status_code == 200
            # Encoded for the way only, which means the same.
            head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            head += "content-encoding: br\r\ntransfer-encoding: gzip, chunked\r\n\r\n"
            framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            async with service.connected() as (reader, writer):
                writer.write(head.encode() + framed)
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            for sent, said in (
                (body, "compressed by gzip; say so in the header content-encoding"),
                (zstd.compress(b"{}"), "compressed by zstd"),
                ('{"model": "m"}'.encode("utf-16"), "send JSON as UTF-8"),
                ('{"model": "m"}'.encode("utf-32-le"), "send JSON as UTF-8"),
                (brotli.compress(b'{"model": "m"}'), "not even text; if it is compressed"),
                (zlib.compress(b'{"model": "m"}'), "not even text; if it is compressed"),
                ('{"model": "\u00e9}'.encode(), "is not JSON"),
                (b"", "the body is empty"),
            ):
                answer = await service.http.post(CHAT, content=sent)
                assert answer.status_code == 400
                assert said in answer.json()["error"]["message"]


async def test_an_offer_of_http_2_is_ignored_and_the_body_read() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            for path, fields in BODIES.items():
                body = json.dumps(fields).encode()
                for rest in (
                    b"content-length: %d\r\n\r\n%b" % (len(body), body),
                    b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
                ):
                    sent = H2C % path.encode() + rest
                    # At once, byte by byte, and one behind the other.
                    for size in (len(sent), 1, len(sent) * 3):
                        async with service.connected() as (reader, writer):
                            for at in range(0, 3 * len(sent), size):
                                writer.write((sent * 3)[at : at + size])
                                if size == 1:
                                    await asyncio.sleep(0)
                            for _ in range(3):
                                head = await reader.readuntil(b"\r\n\r\n")
                                assert head.startswith(b"HTTP/1.1 200")
                                length = int(head.lower().partition(b"content-length: ")[2][:5])
                                assert json.loads(await reader.readexactly(length))
                        if path != CHAT:
                            break
            async with service.connected() as (reader, writer):
                asked = H2C.replace(b"POST", b"GET") % b"/health" + b"\r\n"
                writer.write(asked * 2)
                for _ in range(2):
                    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                    assert await reader.readexactly(15) == b'{"status":"ok"}'


async def test_a_websocket_is_refused_at_once_and_the_service_goes_on() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            asked = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
            for path in ("/v1/responses", "/v1/chat/completions", "/"):
                answer = await service.http.get(path, headers=asked)
                assert answer.status_code == 426
                assert "plain HTTP" in answer.json()["error"]["message"]
            assert (await service.post()).status_code == 200


async def test_slashes_of_joined_urls_do_no_harm() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            root = f"http://127.0.0.1:{service.port}"
            for path, fields in BODIES.items():
                for odd in (f"/{path}", f"{path}/", f"//{path}//", path.replace("/", "//")):
                    answer = await service.http.post(f"{root}{odd}", json=fields)
                    assert answer.status_code == 200, odd
            for odd in ("//v1/models", "/v1/models/", "/v1/models/m/", "//health/"):
                assert (await service.http.get(f"{root}{odd}")).status_code == 200, odd
            engine = service.inside.scheduler.replicas[0].name
            assert "//" in engine
            drained = await service.http.post(f"/admin/engines/{engine}/drain")
            assert drained.json() == {"name": engine, "draining": True}


async def test_a_wrong_base_url_is_told_of() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            for path, fields in BODIES.items():
                answer = await service.http.post(f"/v1{path}", json=fields)
                if path.startswith("/v1"):
                    assert answer.status_code == 404
                    assert "has /v1 twice" in answer.json()["error"]["message"]
                    bare = await service.http.post(path.removeprefix("/v1"), json=fields)
                    assert f"but at {path}; put /v1" in bare.json()["error"]["message"]
            base = f"http://127.0.0.1:{service.port}/v1/v1"
            async with openai.AsyncOpenAI(base_url=base, api_key="k") as client:
                with pytest.raises(openai.NotFoundError, match="has /v1 twice"):
                    await client.models.list()


def watch_json(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all JSON that is read and written on the event loop."""
    on_loop, loop_thread = [0], threading.current_thread()
    loads, dumps = orjson.loads, orjson.dumps

    def watched_loads(raw: bytes) -> Any:
        if threading.current_thread() is loop_thread:
            on_loop.append(len(raw))
        return loads(raw)

    def watched_dumps(*arguments: Any, **options: Any) -> bytes:
        raw = dumps(*arguments, **options)
        if threading.current_thread() is loop_thread:
            on_loop.append(len(raw))
        return raw

    monkeypatch.setattr(orjson, "loads", watched_loads)
    monkeypatch.setattr(orjson, "dumps", watched_dumps)
    return on_loop


async def test_others_are_answered_while_a_large_body_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads do what takes long, here not before others were answered; the loop does the rest."""
    begun: list[str] = []
    others = threading.Semaphore(0)

    async def held(function: Callable[..., Any], *values: Any) -> Any:
        def work() -> Any:
            begun.append(function.__name__)
            assert others.acquire(timeout=PATIENCE)
            return function(*values)

        return await aside(work)

    monkeypatch.setattr(gateway, "aside", held)
    monkeypatch.setattr(scheduled, "aside", held)
    text = "Some words, and more of them.\n" * 100
    body = {"model": "m", "messages": [{"role": "user", "content": text}] * 1000}
    raw = orjson.dumps(body | {"stream": False})
    assert len(raw) > 2 * LARGE
    on_loop = watch_json(monkeypatch)

    async def reply(sent: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answered(200, b'{"choices": [], "usage": {"prompt_tokens": 9}}'))

    async with raw_engine(reply) as engine, serving(engine.url) as service:
        large = asyncio.create_task(service.http.post(CHAT, content=raw))
        for pieces_of_work in (1, 2, 3, 4):
            await until(lambda wanted=pieces_of_work: len(begun) == wanted)
            assert (await service.http.get("/health")).status_code == 200
            others.release()
        assert (await large).status_code == 200
    assert begun == ["_parse", "_measure", "_raw", "take_apart"]
    assert max(on_loop) < LARGE


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses"])
async def test_what_is_changed_or_translated_is_written_beside_the_others(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Some words, and more of them.\n" * 50_000
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    whole = answered(200, json.dumps({"choices": [choice], "usage": {}}).encode())

    async def chat_only(sent: bytes, writer: asyncio.StreamWriter) -> None:
        known = sent.startswith(b"POST /v1/chat/completions ")
        assert not known or len(sent) > LARGE
        assert not known or b'"model":"m"' in sent
        writer.write(whole if known else answered(404, b'{"detail":"Not Found"}'))

    prompt = {"input": text} if "input" in BODIES[path] else {"messages": [said(text)]}
    raw = orjson.dumps(BODIES[path] | prompt | {"model": "other"})
    async with (
        raw_engine(chat_only) as engine,
        serving(engine.url, aliases={"other": "m"}) as service,
    ):
        on_loop = watch_json(monkeypatch)
        answer = await service.http.post(path, content=raw)
        assert answer.status_code == 200
        assert len(answer.content) > LARGE
    assert max(on_loop) < LARGE


def said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def test_a_body_of_very_many_small_values_is_refused() -> None:
    """They would be freed, and looked at by the garbage collector, in one go."""
    many = b"[" + b",".join([b"[]"] * 400_000) + b"]"
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":%b}' % many
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            answer = await service.http.post(CHAT, content=body)
            assert answer.status_code == 413
            assert "more than 250000 lists and objects" in answer.json()["error"]["message"]
            assert (await service.post()).status_code == 200


async def test_a_large_answer_is_passed_on_and_read_beside_the_others() -> None:
    loop = threading.get_ident()
    read: list[int] = []

    def used(self: Embeddings, answer: Body) -> Used:
        read.append(threading.get_ident())
        return original(self, answer)

    original = Embeddings.used
    vectors = [{"index": n, "embedding": [0.5] * 4000} for n in range(100)]
    usage = {"prompt_tokens": 700, "total_tokens": 700}
    whole = json.dumps({"object": "list", "data": vectors, "usage": usage}).encode()
    async with raw_engine(answered(200, whole)) as engine, serving(engine.url) as service:
        with patch.object(Embeddings, "used", used):
            answer = await service.post("/v1/embeddings")
        assert answer.content == whole
        assert len(read) == 1
        assert loop not in read
        assert (await service.http.get("/metrics")).text.count(
            'weft_prompt_tokens_total{model="m",tenant=""} 700.0'
        )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, {"tokens": "abc"}),
        (200, {"tokens": {"a": 1}}),
        (200, {"tokens": []}),
        (200, {"tokens": [0.5]}),
        (200, {"count": 1}),
        (200, [1]),
        (400, {"error": {"message": "what?"}}),
        (404, {}),
        (405, {}),
        (501, {}),
    ],
)
async def test_an_odd_tokenizer_is_told_of_at_the_start(
    status: int, said: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = RawEngine._known

    def odd(engine: RawEngine, method: str, path: str) -> tuple[int, object] | None:
        return (status, said) if path == "/tokenize" else known(engine, method, path)

    monkeypatch.setattr(RawEngine, "_known", odd)
    async with raw_engine(b"") as engine:
        with pytest.raises(NotAnEngine, match=r"gives no token ids at /tokenize.*openai:m@"):
            async with serving(engine.url):
                pass
