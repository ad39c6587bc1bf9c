"""Requests that are wrong from the first byte on, or in what they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live_service import BODIES, CHAT, GENERATING, SAID, LiveService, serving
from service_process import serving as serving_process
from waiting import PATIENCE, until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine

EVERY_CHECK: list[Any] = list(HealthCheck)

pytestmark = pytest.mark.loops("asyncio")


@contextlib.asynccontextmanager
async def working(**fields: Any) -> AsyncGenerator[LiveService]:
    """A service that must have nothing left of any request at the end, and serve on."""
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url, **fields) as service:
            yield service
            await until(service.idle)
            assert (await service.post()).status_code == 200


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
RAW = {
    "nothing": b"",
    "zeros": b"\0" * 1000,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500,
    "no method": b"/ HTTP/1.1\r\n\r\n",
    "an odd method": b"BREW /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "HTTP 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP 9": b"GET / HTTP/9.9\r\n\r\n",
    "HTTP 1.0": b"POST /v1/chat/completions HTTP/1.0\r\n\r\n",
    "no host": b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
    "an odd path": b"POST /%00%ff/../v1/\xe9 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": HEAD + b"x: y\r\n" * 50_000 + b"\r\n",
    "bytes in headers": HEAD + b"x-weft-program: \xff\xfe\xe9\ncontent-length: 2\r\n\r\n{}",
    "a wrong length": HEAD + b"content-length: -5\r\n\r\n{}",
    "an endless length": HEAD + b"content-length: 99999999999999999999\r\n\r\n{}",
    "two lengths": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "length and chunks": HEAD
    + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a wrong chunk": HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
    "an endless chunk": HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
    "half a body": HEAD + b"content-length: 100\r\n\r\n{}",
    "an upgrade": b"GET /health HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    "expect": HEAD + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
    "pipelined": HEAD + b"content-length: 2\r\n\r\n{}" + HEAD + b"content-length: 1\r\n\r\n{",
}


async def test_bytes_that_are_no_request() -> None:
    async with working() as service:
        for name, sent in RAW.items():
            got = await service.raw(sent)
            assert not got or got.startswith(b"HTTP/1.1 "), name
            assert b"HTTP/1.1 5" not in got, name
        await until(lambda: len(service.server.server_state.connections) <= 1)


BODY = json.dumps(BODIES[CHAT] | {"stream": True}).encode()
REQUEST = HEAD + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
cuts = st.integers(0, len(REQUEST))
mangled = st.one_of(
    st.binary(max_size=500),
    st.tuples(cuts, st.binary(max_size=20), cuts).map(
        lambda t: REQUEST[: t[0]] + t[1] + REQUEST[t[2] :]
    ),
    st.tuples(cuts, cuts).map(lambda t: REQUEST[: t[0]] + REQUEST[min(t) : max(t)] + REQUEST),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log.txt"
    with (
        mock.running(ScriptedEngine("Hello", model="m")) as address,
        serving_process(log, "--engine", address, "--log-level", "error") as ours,
    ):
        yield ours
        engines = httpx.get(f"{ours}/admin/engines", timeout=PATIENCE).json()["data"]
        assert [(one["alive"], one["in_flight"]) for one in engines] == [(True, 0)]
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        yield client


@settings(max_examples=50, suppress_health_check=EVERY_CHECK)
@given(sent=mangled)
def test_mangled_bytes_get_an_answer_or_an_end(url: str, sent: bytes) -> None:
    port = int(url.rpartition(":")[2])
    got = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            got += part
    assert not got or got.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 5" not in got


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
FIELDS = [
    *("messages", "prompt", "input", "system", "instructions", "tools", "stream", "metadata"),
    *("stream_options", "max_tokens", "max_output_tokens", "cache_salt", "prompt_cache_key"),
    *("previous_response_id", "tokens", "user", "n", "temperature", "stop", "tool_choice"),
]


@settings(max_examples=50, suppress_health_check=EVERY_CHECK)
@given(
    path=st.sampled_from(list(BODIES)),
    fields=st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4),
)
def test_wrong_types_anywhere_are_told_of(
    http: httpx.Client, path: str, fields: dict[str, Any]
) -> None:
    raw = json.dumps(BODIES[path] | fields).encode()  # NaN and lone surrogates too
    answer = http.post(path, content=raw)
    if answer.status_code != 200:
        assert answer.status_code in (400, 422) or b"the engine failed at this" in answer.content
        assert answer.json()["error"]["message"]


NESTED = '{"a":' * 300 + "1" + "}" * 300


SENSELESS = [
    (b"\xff\xfe\x00", "JSON"),
    (b'{"model": "\xff"}', "JSON"),
    (b'{"model": "m", "messages": [{"role": "user", "content": "\xc3\x28"}]}', "JSON"),
    (b'{"model": "m", "x": NaN}', "JSON"),
    (b'{"model": "m"' * 1000, "JSON"),
    (b"[" * 100_000, "JSON"),
    (b'{"model": "m", "messages": %b}' % (b"[" * 300 + b"]" * 300), "nested"),
    (b'{"model": "m", "x": %b, "messages": []}' % NESTED.encode(), "nested"),
    (b'{"model": "m", "messages": {}}', "messages must be a non-empty list"),
    (b'{"model": "m", "messages": [7]}', "messages[0] must be an object"),
    (b'{"model": "m", "messages": [{"role": 7}]}', "messages[0].role"),
    (b'{"model": "m:majority(n=", "messages": [{"role": "user", "content": "a"}]}', "majority"),
    (b'{"model": "m:nothing", "messages": [{"role": "user", "content": "a"}]}', "nothing"),
    (b'{"model": "m:majority(n=x)", "messages": [{"role": "user", "content": "a"}]}', "n"),
]


async def test_bodies_that_say_nothing_sensible() -> None:
    async with working() as service:
        for raw, said in SENSELESS:
            for path in (CHAT, "/v1/responses", "/v1/messages"):
                answer = await service.http.post(path, content=raw)
                assert answer.status_code in (400, 404), answer.text
                message = answer.json()["error"]["message"]
                assert message
                if path == CHAT:
                    assert said in message


async def test_a_body_of_100_mb_is_refused_and_takes_no_memory() -> None:
    async with working() as service:
        tracemalloc.start()

        async def parts() -> AsyncGenerator[bytes]:
            for _ in range(100):
                yield b" " * 2**20

        answer = await service.http.post(CHAT, content=parts())
        assert answer.status_code == 413
        assert "67108864 bytes" in answer.json()["error"]["message"]
        async with service.connected() as (reader, writer):
            writer.write(HEAD + b"content-length: 104857600\r\n\r\n")  # refused at once
            assert b" 413 " in await asyncio.wait_for(reader.readline(), PATIENCE)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 2 * 67108864  # at most the limit, gathered and joined


async def test_ten_thousand_messages_are_one_request() -> None:
    async with working() as service:
        many = [{"role": ("user", "assistant")[n % 2], "content": f"m{n}"} for n in range(10_000)]
        first = await service.post(messages=many, max_tokens=1)
        assert first.status_code == 200
        more = [*many, {"role": "user", "content": "more"}]
        second = await service.post(messages=more, max_tokens=1)
        assert second.headers["x-weft-program"] == first.headers["x-weft-program"]


async def test_ids_of_any_kind() -> None:
    async with working() as service:
        for id in ("é" * 200, "a" * 5000, "../..", "a/b?c#d", "%00", "' OR 1=1"):
            headers = {"x-weft-program": id.encode("latin-1")}
            answer = await service.post(_headers=headers)
            assert answer.status_code == 200
            known = answer.headers["x-weft-program"]
            assert len(known) <= 128
            listed = (await service.http.get("/v1/programs")).json()["data"]
            assert listed[0]["calls"] == 1
        for id in ("none", "../../etc/passwd", "%2e%2e", "%ff", "a" * 5000):
            for method in ("GET", "DELETE"):
                answer = await service.http.request(method, f"/v1/programs/{id}")
                assert answer.status_code == 404
                assert answer.json()["error"]["message"]


async def test_headers_that_go_into_answers_can_not_split_them() -> None:
    async with working() as service:
        for text in ("a\r\nx-evil: 1", "a\nx-evil: 1", "a\x00b", "\u2028"):
            body = SAID, {"prompt_cache_key": text, "metadata": {"user_id": text}}
            answer = await service.post(messages=body[0], **body[1])
            assert answer.status_code == 200
            assert "x-evil" not in answer.headers


async def test_errors_are_told_in_streams_asked_for_too() -> None:
    async with working() as service:
        for path in GENERATING:
            answer = await service.post(path, stream=True, model="none")
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/json"
