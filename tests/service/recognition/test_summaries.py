"""Conversations that begin with what another one has answered: its summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from live_service import serving
from played_agents import SYSTEM, TOOLS, Agent, Clock, words
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import ScriptRequest
from weft.backends.scripted.script import Scripted, ToolCall
from weft.service.recognition.conversations import Conversations
from weft.types import Request

LEAD = (TOOLS, SYSTEM)
SUMMARY = "\n".join(f"{n}. {words(('summary', n), 8).decode()}" for n in range(6))


def summed_up(known: Conversations, name: str = "a", text: str = SUMMARY) -> Agent:
    """An agent that worked for a while, ended its turn, and was asked for a summary."""
    agent = Agent(known, name, LEAD, "bash")
    for _ in range(4):
        agent.call()
    agent.ask()
    agent.answered(tool="")
    agent.ask(text=b"Sum up.")
    assert agent.live is not None
    known.end(agent.live, generated=100, text=text)
    return agent


@pytest.fixture
def known() -> Conversations:
    return Conversations(clock=Clock())


@pytest.mark.parametrize(
    "first",
    [
        SUMMARY,
        f"<summary>{SUMMARY}</summary>\nGo on.",
        f"A reminder of {'x' * 5000}.\n<state_snapshot>\n{SUMMARY}\n</state_snapshot>",
        SUMMARY.partition("\n")[2],  # a part of it, as without the model's analysis
    ],
)
def test_a_summary_is_known_again_among_others_that_are_idle(
    known: Conversations, first: str
) -> None:
    agent = summed_up(known)
    others = [summed_up(known, f"b{n}", words(("other", n), 60).decode()) for n in range(3)]
    agent.compact()
    assert agent.ask(20, first.encode()) == agent.programs[0]
    agent.answered()
    agent.call()
    assert len(set(agent.programs)) == 1
    assert len({one.programs[0] for one in (agent, *others)}) == 4
    # Its next summary is known again too, and the first one, which is told anew with more.
    agent.ask(text=b"Sum up.")
    assert agent.live is not None
    again = words("again", 60).decode()
    known.end(agent.live, generated=100, text=again)
    for text in (again, f"{first}\n{again}"):
        agent.compact()
        assert agent.ask(20, text.encode()) == agent.programs[0]
        agent.answered()


def test_the_same_words_of_two_tell_nothing(known: Conversations) -> None:
    one, two = summed_up(known, "a"), summed_up(known, "b")
    anew = Agent(known, "c", LEAD, "bash").ask(20, SUMMARY.encode())
    assert anew not in (one.programs[0], two.programs[0])


@pytest.mark.parametrize(
    "first", ["Sum up what was done.", SUMMARY.partition("\n")[0], SUMMARY.replace("0", "z")]
)
def test_little_of_it_is_no_summary(known: Conversations, first: str) -> None:
    agent = summed_up(known)
    assert Agent(known, "b", LEAD, "bash").ask(20, first.encode()) != agent.programs[0]


def test_another_agent_that_quotes_it_is_another_program(known: Conversations) -> None:
    agent = summed_up(known)
    other = Agent(known, "b", (TOOLS, b"system\nYou review."), "bash")
    assert other.ask(20, SUMMARY.encode()) != agent.programs[0]


def test_if_the_conversation_goes_on_after_all_it_was_quoted(known: Conversations) -> None:
    agent, other = summed_up(known), Agent(known, "b", LEAD, "bash")
    agent.said.append(b"assistant\n" + SUMMARY.encode())
    assert other.ask(20, SUMMARY.encode()) == agent.programs[0]
    other.answered()
    assert agent.call() == agent.programs[0]
    assert other.call() != agent.programs[0]


@pytest.mark.parametrize("deep", [True, False])
def test_what_stopped_is_known_after_a_restart(deep: bool) -> None:
    """The service's, while a client compacts: by the summary, or as the only one that stopped."""
    before, after = Conversations(clock=Clock()), Conversations(clock=Clock())
    agent = summed_up(before) if deep else Agent(before, "a", LEAD, "bash")
    other = Agent(before, "b", LEAD, "bash", host="" if deep else "elsewhere")
    for _ in range(2):
        if not deep:
            agent.call()
        other.call()
    other.ask()
    other.answered(tool="")
    after.load(before.rows())
    for program in (agent.programs[0], other.programs[0]):
        kept = before.keep_line(program)
        after.load_line(program, json.loads(json.dumps(kept)))
    for one in (agent, other):
        one.known = after
    agent.compact()
    assert agent.ask(20, SUMMARY.encode() if deep else b"") == agent.programs[0]
    agent.answered()
    assert other.call() == other.programs[0]
    assert agent.call() == agent.programs[0]
    assert len({*agent.programs, *other.programs}) == 2


def test_what_a_store_has_may_be_of_another_version() -> None:
    known = Conversations()
    for kept in ({}, {"opening": [1, 2]}, {"opening": 3, "folder": None}):
        with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
            known.load_line("p", kept)
    assert known.keep_line("p") is None


TOOL = {"type": "function", "name": "bash", "parameters": {}}
MADE = "\n".join(f"What was done first, and number {n} of it." for n in range(4))
TASK = "Do it. " * 800


def answer(request: Request) -> Scripted:
    assert isinstance(request, ScriptRequest)
    if request.messages[-1].content == "Sum up.":
        return Scripted(MADE)
    return Scripted("", tools=[ToolCall("bash", {})])


def body(path: str, *said: str) -> dict[str, Any]:
    """A conversation whose messages are by turns the user's and the model's."""
    roles = ["user", "assistant"] * len(said)
    turns = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    match path:
        case "/v1/responses":
            return {"input": turns, "tools": [TOOL], "instructions": "You edit."}
        case "/v1/messages":
            tool = {"name": "bash", "input_schema": {"type": "object"}}
            return {"messages": turns, "tools": [tool], "system": "You edit."}
        case _:
            first = {"role": "system", "content": "You edit."}
            return {"messages": [first, *turns], "tools": [{"type": "function", "function": TOOL}]}


@pytest.mark.loops("asyncio")
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_summary_is_known_in_all_protocols_and_over_a_restart(
    path: str, tmp_path: Path
) -> None:
    store = str(tmp_path / "s.db")
    with mock.running(ScriptedEngine(answer, model="m", context=50_000)) as url:
        for stream, restarts in ((True, True), (False, False)):
            task = f"{stream}: {TASK}"
            async with serving(url, store=store) as service:
                first = await service.post(path, stream=stream, **body(path, task))
                said = body(path, task, "Now this.", "Sum up.")
                last = await service.post(path, stream=stream, **said)
                program = first.headers["x-weft-program"]
                assert last.headers["x-weft-program"] == program
                await until(service.idle)
                if not restarts:
                    anew = await service.post(path, **body(path, f"It was: {MADE}\nGo on."))
            if restarts:
                async with serving(url, store=store) as service:
                    anew = await service.post(path, **body(path, f"It was:\n{MADE}\nGo on."))
                    # Beside another conversation that has said the same it would tell nothing.
                    await service.http.delete(f"/v1/programs/{program}")
            assert anew.headers["x-weft-program"] == program
