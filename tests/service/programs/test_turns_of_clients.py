"""Turns that are not plain, as coding agents send them: what is recorded, and what is beside."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from live_service import LiveService, answered, raw_engine, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import ScriptRequest
from weft.backends.scripted.script import Scripted
from weft.types import Request

pytestmark = pytest.mark.loops("asyncio")

CODEX = {"user-agent": "codex_exec/0.169.0 (Linux)", "session-id": "cx", "thread-id": "cx"}
CLAUDE = {"user-agent": "claude-cli/2.1.197 (external, cli)", "x-claude-code-session-id": "cc"}
OPENCODE = {"user-agent": "opencode/1.18.33", "x-session-id": "oc", "x-session-affinity": "oc"}
PICTURE = base64.b64encode(random.Random(1).randbytes(60_000)).decode()
ASKED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look."}]}
SUMMARY = "What was done: all of it. What is left: to say so."


def answer(request: Request) -> Scripted:
    last = request.messages[-1].content
    if "replaced by your summary" in last:
        return Scripted(SUMMARY)
    if last == "break":
        return Scripted("It begins and", dies_after=4)
    return Scripted("Done.")


@contextlib.asynccontextmanager
async def over_mock() -> AsyncGenerator[tuple[LiveService, ScriptedEngine]]:
    engine = ScriptedEngine(answer, model="m", context=50_000)
    with mock.running(engine) as url:
        async with serving(url) as service:
            yield service, engine


def ends(service: LiveService, program: str) -> list[tuple[int, str]]:
    calls = service.inside.registry.programs[program].calls
    return [(call.status, call.outcome) for call in calls]


async def test_pictures_of_codex_and_claude_code() -> None:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"}
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}
    result["content"] = [{"type": "image", "source": source}]
    read = {"type": "tool_use", "id": "t", "name": "Read", "input": {"file_path": "/a.png"}}
    messages = [
        {"role": "user", "content": "Look at it."},
        {"role": "assistant", "content": [read]},
        {"role": "user", "content": [result]},
    ]
    asked = {**ASKED, "content": [*ASKED["content"], image]}
    async with over_mock() as (service, engine):
        sent = await service.post("/v1/responses", CODEX, input=[asked], stream=True)
        assert sent.status_code == 200, sent.text  # as text more than the engine holds
        sent = await service.post("/v1/messages", CLAUDE, messages=messages, stream=True)
        assert sent.status_code == 200, sent.text
        await until(service.idle)
        for program, request in zip(("cx", "cc"), engine.requests, strict=True):
            (call,) = service.inside.registry.programs[program].calls
            assert (call.media, call.outcome) == (1, "done")
            assert call.prompt == len(request.tokens or ())
            assert isinstance(request, ScriptRequest)
            assert PICTURE.encode() in request.http.raw
        # A text of that length is still refused: nothing was learned of text.
        sent = await service.post("/v1/messages", messages=[{"role": "user", "content": PICTURE}])
        assert "prompt is too long" in sent.json()["error"]["message"]


async def test_a_compaction_of_codex_over_an_engine_that_speaks_responses() -> None:
    turn = [ASKED, {"type": "compaction_trigger"}]
    async with over_mock() as (service, engine):
        sent = await service.post("/v1/responses", CODEX, input=turn, stream=True)
        events = [json.loads(line[6:]) for line in sent.text.splitlines() if line[:6] == "data: "]
        (item,) = (e["item"] for e in events if e["type"] == "response.output_item.done")
        assert item["type"] == "compaction"
        sent = await service.post("/v1/responses", CODEX, input=[item, ASKED])
        assert sent.status_code == 200
        await until(service.idle)
        assert [one.path for one in engine.received][-2:] == [
            *("/v1/chat/completions", "/v1/responses")
        ]
        assert SUMMARY in engine.requests[-1].messages[0].content
        assert ends(service, "cx") == [(200, "done")] * 2


async def test_a_break_harms_nobody_beside_and_the_program_goes_on() -> None:
    async with over_mock() as (service, engine):
        named = {"x-weft-program": "beside"}

        async def beside() -> None:
            while len(engine.requests) < 15:
                sent = await service.post(_headers=named)
                assert sent.status_code == 200

        async def agent() -> None:
            for text in ("break", "go on", "break", "go on"):
                said = [{"role": "user", "content": text}]
                got = await service.post("/v1/messages", CLAUDE, messages=said, stream=True)
                assert ("event: error" in got.text) == (text == "break")

        await asyncio.gather(beside(), agent())
        await until(service.idle)
        assert ends(service, "cc") == [(200, "broken"), (200, "done")] * 2
        assert service.inside.registry.programs["cc"].errors == 2
        assert set(ends(service, "beside")) == {(200, "done")}


def children(client: dict[str, str]) -> list[dict[str, str]]:
    """The headers of two sub-agents."""
    if client is CODEX:
        more = [{"thread-id": f"cx-{n}", "x-codex-parent-thread-id": "cx"} for n in "12"]
    elif client is CLAUDE:
        more = [{"x-claude-code-agent-id": n} for n in "12"]
    else:
        more = [{"x-session-id": f"oc-{n}", "x-parent-session-id": "oc"} for n in "12"]
        more = [{**one, "x-session-affinity": one["x-session-id"]} for one in more]
    return [client | one for one in more]


@pytest.mark.parametrize(
    ("client", "path", "id"),
    [
        (CODEX, "/v1/responses", "cx"),
        (CLAUDE, "/v1/messages", "cc"),
        (OPENCODE, "/v1/chat/completions", "oc"),
    ],
)
async def test_two_sub_agents_at_once(client: dict[str, str], path: str, id: str) -> None:
    gate = asyncio.Event()
    whole = answered(200, b'{"usage": {"prompt_tokens": 9, "completion_tokens": 1}}')

    async def held(_: bytes, writer: Any) -> None:
        await gate.wait()
        writer.write(whole)

    async with raw_engine(held) as engine, serving(engine.url) as service:
        programs = service.inside.registry.programs
        async with asyncio.TaskGroup() as group:
            for headers in (client, *children(client)):
                group.create_task(service.post(path, headers))
            await until(lambda: engine.asked == 3)
            assert sorted(one.parent for one in programs.values()) == ["", id, id]
            assert all(len(one.live) == 1 for one in programs.values())
            gate.set()
        await until(service.idle)
        for program in programs:
            assert ends(service, program) == [(200, "done")]
