"""Engines whose answers break, seen by the official clients through `weft serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from service_process import serving
from waiting import PATIENCE, block_until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.script import Scripted
from weft.types import Request

TEXT = "What a fine day it is."
FAULTS = {
    "cut": Scripted(TEXT, dies_after=6),
    "junk": Scripted(TEXT, garbage=b"\xff\x00 <html>", dies_after=3),
    "half": Scripted(TEXT, garbage=b'data: {"choices": [{"del', dies_after=3),
    "short": Scripted(TEXT, garbage=b"", dies_after=3),
    "nothing": Scripted(TEXT, garbage=b""),
}


def answer(request: Request) -> Scripted:
    last = request.messages[-1].content
    return Scripted("ab", endless=True) if last == "endless" else FAULTS.get(last, Scripted(TEXT))


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine(answer, model="m")


@pytest.fixture(scope="module")
def url(engine: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log.txt"
    with mock.running(engine) as address, serving(log, "--engine", address) as ours:
        yield ours


PATHS = ["chat/completions", "completions", "responses", "messages"]


def body(path: str, text: str, **more: object) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    forms: dict[str, dict[str, object]] = {
        "chat/completions": {"messages": messages},
        "completions": {"prompt": text},
        "responses": {"input": text},
        "messages": {"messages": messages, "max_tokens": 500},
    }
    return {"model": "m", **forms[path], **more}


def works(url: str, path: str) -> None:
    """The service still answers; this also lets an engine that failed start afresh."""
    answer = httpx.post(f"{url}/v1/{path}", timeout=PATIENCE, json=body(path, "hello"))
    assert answer.status_code == 200
    assert TEXT in answer.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"nothing"}))
def test_a_stream_that_breaks_ends_with_an_error(url: str, path: str, fault: str) -> None:
    answer = httpx.post(f"{url}/v1/{path}", timeout=PATIENCE, json=body(path, fault, stream=True))
    events = [part for part in answer.content.split(b"\n\n") if part.strip()]
    if path not in ("responses", "messages"):
        assert events.pop() == b"data: [DONE]"
    lines = events[-1].split(b"\n")
    data = json.loads(lines[-1].removeprefix(b"data: "))
    if path == "responses":
        assert (data["type"], data["response"]["status"]) == ("response.failed", "failed")
    elif path == "messages":
        assert lines[0] == b"event: error"
        assert data["type"] == "error"
        assert data["error"]["message"]
    else:
        assert data["error"]["message"]
    for end in (b"message_stop", b"response.completed", b'"finish_reason": "stop"'):
        assert end not in answer.content
    works(url, path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fault", "stream"), [("junk", False), ("nothing", False), ("nothing", True)]
)
def test_an_answer_that_is_none_is_not_passed_on(
    url: str, path: str, fault: str, stream: bool
) -> None:
    answer = httpx.post(f"{url}/v1/{path}", timeout=PATIENCE, json=body(path, fault, stream=stream))
    assert answer.status_code in (502, 503)
    told = answer.json()
    assert told["error"]["message"]
    assert (told.get("type") == "error") == (path == "messages")
    # The engine may have to rest.
    block_until(lambda: httpx.get(f"{url}/ready", timeout=PATIENCE).status_code == 200)
    works(url, path)


def test_the_official_clients_raise(url: str) -> None:
    said: Any = [{"role": "user", "content": "cut"}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as ours:
        text: list[str] = []
        stream = ours.chat.completions.create(model="m", messages=said, stream=True)
        with pytest.raises(openai.APIError, match="broke"):
            text.extend(c.choices[0].delta.content or "" for c in stream if c.choices)
        assert "".join(text) == TEXT[:6]
    works(url, "messages")
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as theirs:
        events = theirs.messages.create(model="m", max_tokens=99, messages=said, stream=True)
        seen: list[str] = []
        with pytest.raises(anthropic.APIStatusError, match="broke"):
            seen.extend(event.type for event in events)
        assert seen[0] == "message_start"
    works(url, "messages")


@pytest.mark.parametrize("path", PATHS)
def test_an_endless_stream_is_cancelled_with_its_client(
    engine: ScriptedEngine, url: str, path: str
) -> None:
    before = engine.cancelled
    sent = body(path, "endless", stream=True)
    with httpx.stream("POST", f"{url}/v1/{path}", json=sent, timeout=PATIENCE) as answer:
        lines = answer.iter_lines()
        for _ in range(100):
            next(lines)
        assert engine.running == 1
    block_until(lambda: not engine.running)
    assert engine.cancelled == before + 1
