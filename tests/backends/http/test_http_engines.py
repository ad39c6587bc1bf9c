"""VLLMEngine and OpenAIEngine over real HTTP, against the mock server."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import anyio
import pytest

from live_service import raw_engine
from waiting import until
from weft.backends.engine import Engine
from weft.backends.http import client as http
from weft.backends.mock import server as mock
from weft.backends.openai import OpenAIEngine
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.backends.scripted.vocabulary import CHARACTERS
from weft.backends.vllm import VLLMEngine
from weft.errors import (
    ContextExceeded,
    EngineSilent,
    EngineUnavailable,
    NotAnEngine,
    RequestFailed,
    RequestRejected,
    Unsupported,
    UsageError,
    WrongModel,
)
from weft.types import Delta, Message, Request, Sampling

HELLO = (Message("user", "hello"),)
ANSWER = "first line\nsecond line ⚙"


@pytest.fixture
def server() -> Iterator[tuple[ScriptedEngine, str]]:
    replies = {
        "hello": ANSWER,
        "die": Scripted(ANSWER, dies_after=5),
        "die at once": Scripted(dies_after=0),
        "hang": Scripted(hangs=True),
        "slow": Scripted("x" * 200, seconds=0.05),
    }
    engine = ScriptedEngine(
        replies, {"yes": 0.7, "no": 0.2}, context=1000, kv_tokens=4096, block_size=8
    )
    with mock.running(engine) as url:
        yield engine, url


@asynccontextmanager
async def using(engine: Engine) -> AsyncIterator[Engine]:
    await engine.connect()
    try:
        yield engine
    finally:
        await engine.aclose()


def both(url: str) -> list[Engine]:
    return [VLLMEngine(url), OpenAIEngine("scripted", url + "/v1")]


def request(text: str = "hello", sampling: Sampling | None = None, **more: Any) -> Request:
    messages = (Message("user", text),)
    return Request("an-id", "scripted", messages, sampling=sampling or Sampling(), **more)


async def ask(engine: Engine, made: Request) -> list[Delta]:
    deltas: list[Delta] = []
    await engine.complete(made, deltas.append)
    assert [delta.finish_reason is None for delta in deltas[:-1]] == [True] * (len(deltas) - 1)
    assert deltas[-1].finish_reason is not None
    return deltas


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


Server = tuple[ScriptedEngine, str]


@pytest.mark.parametrize("which", [0, 1])
async def test_a_whole_answer(server: Server, which: int) -> None:
    scripted, url = server
    async with using(both(url)[which]) as engine:
        deltas = await ask(engine, request())
        assert text_of(deltas) == ANSWER
        assert deltas[-1].ended
        assert sum(delta.count for delta in deltas) == len(ANSWER) + 1
        assert deltas[-1].prompt_tokens == len("hello") + 2
        assert deltas[-1].cached_tokens == 0
        assert len(deltas) > 10
        assert await engine.healthy()
    assert scripted.requests[-1].id == "an-id"


@pytest.mark.parametrize("which", [0, 1])
async def test_limits(server: Server, which: int) -> None:
    async with using(both(server[1])[which]) as engine:
        stopped = await ask(engine, request(sampling=Sampling(stop=("e\n", "zz"))))
        assert text_of(stopped) == "first line\n"
        assert stopped[-1].finish_reason == "stop"
        assert not stopped[-1].ended
        short = await ask(engine, request(sampling=Sampling(max_tokens=5)))
        assert text_of(short) == "first"
        assert short[-1].finish_reason == "length"
        assert not short[-1].ended


async def test_tokens_go_in_and_come_out(server: Server) -> None:
    scripted, url = server
    async with using(VLLMEngine(url)) as engine:
        assert (engine.model, engine.context, engine.block_size) == ("scripted", 1000, 8)
        assert engine.kv_tokens == 4096
        prompt = await engine.render(HELLO, open=False)
        assert prompt == CHARACTERS.render(HELLO, open=False)
        deltas = await ask(engine, request(tokens=prompt))
        tokens = tuple(token for delta in deltas for token in delta.tokens)
        assert tokens == await engine.tokenize(ANSWER)
        opened = (*HELLO, Message("assistant", ANSWER[:11]))
        longer = await engine.render(opened, open=True)
        assert longer == prompt + tokens[:11]
        rest = await ask(engine, request(tokens=longer))
        assert text_of(rest) == ANSWER[11:]
        assert rest[-1].cached_tokens == 16
        assert scripted.requests[-1].open


async def test_scores(server: Server) -> None:
    async with using(VLLMEngine(server[1])) as engine:
        yes, no, other = (CHARACTERS.encode(letter)[0] for letter in "ynz")
        (delta,) = await ask(engine, request(ask=(yes, no, other, yes)))
        expected = (math.log(0.7), math.log(0.2), -math.inf, math.log(0.7))
        assert delta.ask_logprobs == pytest.approx(expected)
        with pytest.raises(Unsupported, match="max_tokens"):
            await ask(engine, request(ask=(yes,), sampling=Sampling(max_tokens=9)))
    async with using(OpenAIEngine("scripted", server[1] + "/v1")) as engine:
        (delta,) = await ask(engine, request(ask_texts=("no", "yes", "maybe")))
        assert delta.ask_logprobs == pytest.approx((math.log(0.2), math.log(0.7), -math.inf))


async def test_logprobs(server: Server) -> None:
    for engine in both(server[1]):
        async with using(engine):
            deltas = await ask(engine, request(sampling=Sampling(logprobs=0, max_tokens=5)))
            reported = [one for delta in deltas for one in delta.logprobs]
            assert [one.token for one in reported] == list("first")


async def test_an_endpoint_of_texts_cannot_continue(server: Server) -> None:
    async with using(OpenAIEngine("scripted", server[1] + "/v1")) as engine:
        with pytest.raises(Unsupported, match="can't continue an open answer"):
            await ask(engine, request(open=True))
        with pytest.raises(Unsupported, match="ask_texts"):
            await ask(engine, request(ask=(1,)))


@pytest.mark.parametrize("which", [0, 1])
async def test_an_engine_that_dies(server: Server, which: int) -> None:
    scripted, url = server
    async with using(both(url)[which]) as engine:
        deltas: list[Delta] = []
        with pytest.raises(EngineUnavailable):
            await engine.complete(request("die"), deltas.append)
        assert text_of(deltas) == ANSWER[:5]
        with pytest.raises(RequestFailed, match="500"):
            await ask(engine, request("die at once"))
        with pytest.raises(RequestRejected, match="the script has no answer to 'what'"):
            await ask(engine, request("what"))
        with pytest.raises(ContextExceeded):
            await ask(engine, request("x" * 2000))
        assert text_of(await ask(engine, request())) == ANSWER
        scripted.kill()
        with pytest.raises(RequestFailed):
            await ask(engine, request())
        if which == 0:
            assert not await engine.healthy()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("text", ["hang", "slow"])
async def test_cancelling_reaches_the_engine(server: Server, which: int, text: str) -> None:
    scripted, url = server
    async with using(both(url)[which]) as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, engine, request(text))
            await until(lambda: scripted.running == 1)
            tasks.cancel_scope.cancel()
        await until(lambda: scripted.running == 0)
        assert scripted.cancelled == 1
        assert text_of(await ask(engine, request())) == ANSWER


async def test_many_at_once(server: Server) -> None:
    scripted, url = server
    for engine in both(url):
        async with using(engine), anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(ask, engine, request())
    assert len(scripted.requests) == 80


async def test_load(server: Server) -> None:
    scripted, url = server
    async with using(VLLMEngine(url)) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, engine, request("hang"))
        await until(lambda: scripted.running == 1)
        load = await engine.load()
        assert (load.running, load.waiting) == (1, 0)
        assert 0 <= load.kv_usage < 1
        tasks.cancel_scope.cancel()


async def test_the_wrong_model(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WrongModel, match="serves 'scripted', not 'other'"):
        await VLLMEngine(server[1], "other").connect()
    async with using(OpenAIEngine("scripte", server[1] + "/v1")):
        assert "does not list 'scripte'" in caplog.text  # some serve more than they list
        assert "did you mean scripted" in caplog.text


@pytest.mark.loops("asyncio")
async def test_a_model_that_is_served_though_not_listed(caplog: pytest.LogCaptureFixture) -> None:
    async with raw_engine(b"") as there, using(VLLMEngine(there.url, "other")) as engine:
        assert engine.model == "other"
        assert engine.context == 100_000
        assert "serves 'm', not 'other'" in caplog.text


async def test_nothing_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for engine in both(url):
            with pytest.raises(EngineUnavailable, match="nothing answers"):
                await engine.connect()
        assert not await VLLMEngine(url).healthy()
    with pytest.raises(UsageError, match="http://host:port"):
        await VLLMEngine("localhost").connect()


@contextmanager
def website(status: int, kind: str, body: bytes) -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{site.server_port}"
        finally:
            site.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 404])
async def test_a_website_is_no_engine(status: int) -> None:
    with website(status, "text/html", b"<html>Welcome</html>") as url:
        with pytest.raises(NotAnEngine, match=r"text/html"):
            await VLLMEngine(url).connect()
        with pytest.raises(NotAnEngine, match="/v1"):
            await OpenAIEngine("m", url).connect()


async def test_another_server_is_named_for_what_it_is() -> None:
    with website(200, "application/json", b'{"data": [{"id": "llama"}]}') as url:
        with pytest.raises(NotAnEngine, match="openai:llama@"):
            await VLLMEngine(url).connect()
        async with using(OpenAIEngine("llama", url)):
            pass


@pytest.mark.parametrize(
    "listed", ['[{"id": "m"}]', '{"models": [{"name": "m"}]}', '{"data": null}', '["m"]']
)
async def test_lists_of_models_have_many_forms(listed: str) -> None:
    with website(200, "application/json", listed.encode()) as url:
        async with using(OpenAIEngine("m", url)) as engine:
            assert engine.model == "m"


@pytest.mark.parametrize("body", [b'{"status": "ok"}', b'"m"', b"null"])
async def test_what_lists_nothing_is_no_engine(body: bytes) -> None:
    with website(200, "application/json", body) as url, pytest.raises(NotAnEngine, match="/v1"):
        await OpenAIEngine("m", url).connect()


@pytest.mark.parametrize("url", ["ftp://host/v1", "host:1/v1", "http://host:99999/v1", "http:///"])
async def test_what_is_no_address_is_told_as_such(url: str) -> None:
    for engine in (OpenAIEngine("m", url), VLLMEngine(url)):
        with pytest.raises(UsageError, match=r"no address of an engine; write http://host:port"):
            await engine.connect()
    with pytest.raises(UsageError, match="no model is named"):
        await OpenAIEngine("", "http://127.0.0.1:1/v1").connect()


async def test_a_key_is_asked_for() -> None:
    with website(401, "application/json", b'{"error": {"message": "no key"}}') as url:
        with pytest.raises(RequestRejected, match=r"no key.*api_key"):
            await VLLMEngine(url).connect()
        with pytest.raises(RequestRejected, match="no key"):
            await OpenAIEngine("m", url).connect()


async def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        await OpenAIEngine("gpt").connect()


async def test_silence_is_noticed(server: Server) -> None:
    url = server[1]
    for silent in (
        VLLMEngine(url, silence=0.2),
        OpenAIEngine("scripted", url + "/v1", "k", silence=0.2),
    ):
        async with using(silent) as engine:
            with pytest.raises(EngineSilent, match="fell silent"):
                await ask(engine, request("hang"))


async def test_events_are_split_anywhere() -> None:
    body = b'data: {"a": 1}\n\ndata: {"b": "\xe2\x9a\x99"}\r\n\r\n: note\n\ndata: [DONE]\n\n'

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    for size in range(1, len(body) + 1):
        assert [one async for one in http.events(pieces(size))] == [{"a": 1}, {"b": "⚙"}]
