"""One turn each of what is not plain: pictures, compression, overflow, breaks, compaction, teams.

Each also looks at the service: what it has recorded, that nothing is left of it, and that a
neighbour's requests were answered all the while.
"""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import openai
import pytest

from agent_clients import CLIENTS, Place, converse, each, needs, showing
from agent_player import DONE, ERRAND, MUCH, PICTURE, SUMMARY, play, task
from agent_world import CONTEXT, World, recorded, streaming
from weft.backends.scripted.requests import ScriptRequest
from weft.backends.scripted.script import Scripted
from weft.service.protocols import PROTOCOLS
from weft.service.protocols.errors.error_words import ErrorWords
from weft.types import Request

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]


def greeting(place: Place) -> str:
    done = subprocess.run([sys.executable, place.file], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Turns:
    """Plays, but for an agent's requests, of which some fare otherwise.

    Args:
        other: what is answered to the request of this number; None to play.
    """

    def __init__(self, other: Any) -> None:
        self.other, self.count = other, 0

    def __call__(self, request: Request) -> Scripted:
        assert isinstance(request, ScriptRequest)
        # Agents also ask for titles; aider has no tools.
        if request.http.tools or "SEARCH/REPLACE" in request.messages[0].content:
            self.count += 1
            if (answer := self.other(self.count, request)) is not None:
                return answer
        return play(request)


# A picture


def picture(size: int) -> bytes:
    """A PNG that nothing can compress."""
    noise = random.Random(1)
    lines = b"".join(b"\0" + noise.randbytes(3 * size) for _ in range(size))
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


@each("codex", "claude-code", "opencode", "qwen-code", "cline", "aider")
def test_a_picture(name: str, world: World) -> None:
    here = world.place(name)
    (here.work / PICTURE).write_bytes(picture(700))
    said, flags = showing(name, here, here.work / PICTURE)
    with world.beside():
        CLIENTS[name].run(here, task(here.file, f"Look at the picture. {said}"), *flags)
    assert greeting(here) == "Hello"
    (program,) = world.programs()
    assert set(world.ends(program)) == {(200, "done")}
    calls, came = world.calls(program), world.came()
    with_it = [call for call in calls if call["media"]]
    assert {call["media"] for call in with_it} == {1}
    assert len(with_it) >= (1 if name == "aider" else 2)
    # What reaches the engine is the picture, and what is charged is what the engine counts.
    assert len(came[-1].raw) > 500_000
    marks = (b'"input_image"', b'"image"', b'"image_url"')
    assert any(mark in came[-1].raw for mark in marks)
    assert sorted(call["prompt"] for call in calls) == sorted(prompts(world))
    assert max(prompts(world)) < CONTEXT / 10


def prompts(world: World) -> list[int]:
    """Tokens of the prompts that the engine had, less the neighbour's."""
    came = world.came()
    asked = [r for r in world.engine.requests if isinstance(r, ScriptRequest) and r.http in came]
    return [len(one.tokens or ()) for one in asked]


# A compressed body


@each("codex-chatgpt")
def test_a_compressed_body(name: str, world: World) -> None:
    with recorded(world.url) as (url, sent), world.beside():
        here = world.place(name, url)
        CLIENTS[name].run(here, task(here.file))
    assert greeting(here) == "Hello"
    asked = [bytes(one) for one in sent if one.startswith(b"POST /v1/responses ")]
    assert asked
    zstd = bytes.fromhex("28b52ffd")
    assert all(b"content-encoding: zstd\r\n" in one.lower() and zstd in one for one in asked)
    # A WebSocket is tried once, before anything is asked; the engine gets plain JSON.
    assert sum(b"upgrade: websocket" in one.lower() for one in sent) == 1
    came = world.came()
    assert [one.body["model"] for one in came] == ["m", "m"]
    assert sum(map(len, asked)) < sum(len(one.raw) for one in came)
    (program,) = world.programs()
    assert world.ends(program) == [(200, "done")] * 2
    assert (program["source"], program["errors"]) == ("session-id", 0)


# An overflow

BOTH = (
    "This model's maximum context length is {context} tokens. However, you requested {answer} "
    "output tokens and your prompt contains {prompt} input tokens, for a total of {total} tokens. "
    "Please reduce the length of the input prompt or the number of requested output tokens."
)
ALONE = (
    "This model's maximum context length is {context} tokens. However, your prompt contains "
    "{prompt} input tokens, which exceeds this limit even without any output tokens. Please reduce "
    "the length of the input prompt."
)
ROOM = 9000


def no_room_for_the_answer(_: int, request: ScriptRequest) -> Scripted | None:
    """An engine that has `ROOM` for the answer, and says so as vLLM does."""
    answer, prompt = request.http.body["max_tokens"], len(request.tokens or ())
    if answer <= ROOM:
        return None
    said = {"context": prompt + ROOM, "answer": answer, "prompt": prompt}
    return Scripted(refuses=BOTH.format(**said, total=prompt + answer))


def no_room(number: int, request: ScriptRequest) -> Scripted | None:
    """An engine for which the second prompt is too long, and says so as vLLM does.

    Where there are no tools there is but one.
    """
    prompt = len(request.tokens or ())
    said = ALONE.format(context=prompt - 1, prompt=prompt)
    return Scripted(refuses=said) if number == (2 if request.http.tools else 1) else None


@each("claude-code")
def test_an_answer_without_room_is_asked_for_shorter(name: str, world: World) -> None:
    here = world.place(name)
    world.plays(Turns(no_room_for_the_answer))
    with world.beside():
        CLIENTS[name].run(here, task(here.file))
    assert greeting(here) == "Hello"
    (program,) = world.programs()
    ends = world.ends(program)
    assert ends == [(400, "refused"), (200, "done")] * (len(ends) // 2)
    assert program["errors"] == len(ends) // 2
    asked = [one.body["max_tokens"] for one in world.came()]
    assert all(
        first > ROOM >= second for first, second in zip(asked[::2], asked[1::2], strict=True)
    )


@each("codex")
def test_codex_ends_the_turn_and_can_go_on(name: str, world: World) -> None:
    here, client = world.place(name), CLIENTS[name]
    world.plays(Turns(no_room))
    with world.beside():
        said = client.finish(client.start(here, task(here.file)), here, expected=1)
        assert "ran out of room" in said
        (program,) = world.programs()
        assert world.ends(program) == [(200, "done"), (400, "refused")]  # sent once
        world.plays(play)
        client.run(here, "Go on.", "resume", "--last")
    (program,) = world.programs()
    assert world.ends(program) == [(200, "done"), (400, "refused"), (200, "done")]


SAID = {
    "claude-code": "Prompt is too long",
    "mini-swe-agent": "ContextWindowExceededError",
    "openhands": "ContextWindowExceeded",
    "aider": "has hit a token limit",
}
"""What clients say of a prompt that is too long, in place of the words that came."""


@each(*SAID)
def test_some_say_that_the_prompt_is_too_long(name: str, world: World) -> None:
    here, client = world.place(name), CLIENTS[name]
    world.plays(Turns(no_room))
    with world.beside():
        status = 0 if name == "aider" else 1
        said = client.finish(client.start(here, task(here.file)), here, expected=status)
    assert SAID[name] in said
    (program,) = world.programs()
    *ends, last = world.ends(program)  # sent once
    assert last == (400, "refused")
    assert ends == [(200, "done")] * (name != "aider")


@each("opencode", "qwen-code", "cline")
def test_the_others_compact_and_go_on(name: str, world: World) -> None:
    here, client = world.place(name), CLIENTS[name]
    world.plays(Turns(no_room))
    with world.beside():
        # opencode has told of an error, though it got over it.
        status = 1 if name == "opencode" else 0
        said = client.finish(client.start(here, task(here.file)), here, expected=status)
    assert greeting(here) == "Hello"
    assert DONE in said
    (program,) = world.programs()
    ends = world.ends(program)
    assert ends.count((400, "refused")) == program["errors"] == 1
    assert set(ends) == {(200, "done"), (400, "refused")}


# A stream that breaks


def broken(number: int, _: ScriptRequest) -> Scripted | None:
    """An engine whose connection breaks within the first answer."""
    return Scripted("Let me see what is there.", dies_after=8) if number == 1 else None


@each("codex", "claude-code", "opencode", "qwen-code", "aider")
def test_a_stream_that_breaks(name: str, world: World) -> None:
    here = world.place(name)
    world.plays(Turns(broken))
    with world.beside():
        said = CLIENTS[name].run(here, task(here.file))
    assert greeting(here) == "Hello"
    assert (DONE if name != "aider" else "Applied edit") in said
    (program,) = world.programs()
    ends = world.ends(program)
    assert ends.count((200, "broken")) == program["errors"] == 1
    assert set(ends) == {(200, "done"), (200, "broken")}


@each("cline")
def test_a_stream_that_breaks_is_too_much_for_some(name: str, world: World) -> None:
    here, client = world.place(name), CLIENTS[name]
    world.plays(Turns(broken))
    with world.beside():
        said = client.finish(client.start(here, task(here.file)), here, expected=1)
    assert "broke the connection" in said
    (program,) = world.programs()
    assert world.ends(program) == [(200, "broken")]


@each("mini-swe-agent", "openhands")
def test_an_answer_that_breaks_is_made_again(name: str, world: World) -> None:
    """These do not stream, so that nothing of the answer has gone out: they see nothing of it."""
    here = world.place(name)
    world.plays(Turns(broken))
    with world.beside():
        CLIENTS[name].run(here, task(here.file))
    assert greeting(here) == "Hello"
    (program,) = world.programs()
    assert set(world.ends(program)) == {(200, "done")}
    assert [call["attempts"] for call in world.calls(program)] == [2, 1]


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (ErrorWords(400, "no such field", code="unsupported_value"), 1),
        (ErrorWords(404, "no such model", code="model_not_found"), 1),
        (ErrorWords(400, "too long", code="context_length_exceeded"), 1),
        (ErrorWords(502, "the engine broke off"), 2),
        (ErrorWords(503, "try again in 3 s"), 2),
    ],
)
@each("codex")
def test_codex_asks_again_only_where_that_may_help(
    name: str, words: ErrorWords, times: int, world: World
) -> None:
    """After errors that come when the stream has begun."""
    client = CLIENTS[name]
    with streaming(PROTOCOLS["/v1/responses"].error_event(words)) as (url, asked):
        here = world.place(name, url)
        once = ("-c", "model_providers.ours.stream_max_retries=1")
        began = time.monotonic()
        said = client.finish(client.start(here, "Hello", *once), here, expected=1)
        took = time.monotonic() - began
    assert asked == ["/v1/responses"] * times
    assert took > (3 if words.status == 503 else 0)  # as long as it is told to wait
    assert words.message in said or words.code == "context_length_exceeded"


# A compaction


@each("codex", "codex-built-in")
def test_codex_compacts(name: str, world: World) -> None:
    """By itself with a provider of ours; with its own, in a turn that the service translates."""
    here = world.place(name)
    with world.beside():
        # Its prompts have 38,000 characters, and of what is printed it sends 10,000.
        limit = "model_context_window=50000"
        said = CLIENTS[name].run(here, task(here.file, "Print much."), "-c", limit)
    assert greeting(here) == "Hello"
    assert DONE in said
    (program,) = world.programs()
    assert set(world.ends(program)) == {(200, "done")}
    came = world.came()
    (asked,) = [at for at, one in enumerate(came) if is_asked_to_sum_up(one.raw)]
    assert came[asked].path == ("/v1/responses" if name == "codex" else "/v1/chat/completions")
    assert b"x" * (MUCH // 10) in came[asked].raw
    for one in came[asked + 1 :]:
        assert SUMMARY.encode() in one.raw
        assert b"x" * (MUCH // 10) not in one.raw


def is_asked_to_sum_up(raw: bytes) -> bool:
    """Whether Codex, or the service for it, asks for a summary."""
    return b"CONTEXT CHECKPOINT COMPACTION" in raw or b"replaced by your summary" in raw


@needs("claude-code")
def test_claude_code_compacts(world: World) -> None:
    here = world.place("claude-code")
    with world.beside():
        results = converse(here, task(here.file), "/compact", "What was done?")
    assert [result["is_error"] for result in results] == [False] * 3
    assert greeting(here) == "Hello"
    (program,) = world.programs()
    assert set(world.ends(program)) == {(200, "done")}
    last = world.came()[-1]
    assert program["calls"] == len(world.came()) >= 5
    assert SUMMARY.encode() in last.raw
    assert b"continued from a previous conversation" in last.raw


def test_an_endpoint_compacts(world: World) -> None:
    """As clients do that have it from OpenAI's library."""
    given: Any = [
        {"role": "user", "content": task(Path("/w/greet.py"))},
        {"role": "assistant", "content": "It says Hello."},
    ]
    with world.beside(), openai.OpenAI(base_url=f"{world.url}/v1", api_key="k") as client:
        short = client.responses.compact(model="m", input=given)
        (item,) = short.output
        goes_on: Any = [item.model_dump(), {"role": "user", "content": "And then?"}]
        client.responses.create(model="m", input=goes_on)
    assert item.type == "compaction"
    assert SUMMARY.encode() in world.came()[-1].raw
    assert all(set(world.ends(program)) == {(200, "done")} for program in world.programs())


# Two sub-agents


@each("claude-code", "codex", "opencode")
def test_two_sub_agents_at_once(name: str, world: World) -> None:
    here = world.place(name)
    with world.beside():
        CLIENTS[name].run(here, task(here.file, "Send 2 sub-agents."))
    assert greeting(here) == "Hello"
    parents = [one for one in world.programs() if not one["parent"]]
    children = [one for one in world.programs() if one["parent"]]
    assert len(parents) == 1
    assert [one["parent"] for one in children] == [parents[0]["id"]] * 2
    for program in (*parents, *children):
        assert program["name"] == name
        assert set(world.ends(program)) == {(200, "done")}
    errands = {f"number {number} is run" for number in range(2)}
    said = [m.content for r in world.engine.requests for m in r.messages if ERRAND in m.content]
    assert errands == {one for one in errands if any(one in text for text in said)}
