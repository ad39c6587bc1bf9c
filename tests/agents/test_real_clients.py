"""Real coding agents finish a task, through `weft serve`, with a scripted model."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from agent_clients import CLIENTS, Place, each, needs
from agent_player import DONE, ERRAND, task
from agent_world import World

pytestmark = [pytest.mark.agents, pytest.mark.timeout(900)]

SOURCES = {
    "mini-swe-agent": "conversation",
    "aider": "conversation",
    "codex": "session-id",
    "claude-code": "x-claude-code-session-id",
    "opencode": "x-session-id",
    "qwen-code": "conversation",
    "cline": "conversation",
    "openhands": "x-litellm-session-id",
}
"""How the service recognises the programs of each client."""


def greeting(place: Place) -> str:
    done = subprocess.run([sys.executable, place.file], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@each(*sorted(SOURCES))
def test_a_client_finishes_its_task(name: str, world: World) -> None:
    here = world.place(name)
    said = CLIENTS[name].run(here, task(here.file))
    assert greeting(here) == "Hello", said
    if name in ("codex", "claude-code", "opencode", "qwen-code", "openhands"):
        assert DONE in said
    (program,) = world.programs()
    assert (program["source"], program["errors"]) == (SOURCES[name], 0)
    came = world.came()
    assert program["calls"] == len(came) > (name != "aider")
    streamed = {bool(one.body.get("stream")) for one in came}
    assert streamed == {name not in ("mini-swe-agent", "openhands")}


@needs("claude-code", "codex")
def test_two_at_once_are_two_programs(world: World) -> None:
    clients = [CLIENTS["claude-code"], CLIENTS["codex"]]
    world.engine.token_seconds = 0.005
    places = [world.place(client.name) for client in clients]
    running = [
        client.start(here, task(here.file)) for client, here in zip(clients, places, strict=True)
    ]
    for client, process, here in zip(clients, running, places, strict=True):
        client.finish(process, here)
    assert [greeting(here) for here in places] == ["Hello", "Hello"]
    found = {one["name"]: one for one in world.programs()}
    assert set(found) == {"claude-code", "codex"}
    assert all(one["calls"] > 1 for one in found.values())


@each("claude-code", "codex", "opencode")
def test_a_sub_agent_is_linked_to_its_parent(name: str, world: World) -> None:
    here = world.place(name)
    CLIENTS[name].run(here, task(here.file, "Send 1 sub-agents."))
    assert greeting(here) == "Hello"
    assert any(
        ERRAND in m.content for r in world.engine.requests for m in r.messages if m.role == "user"
    )
    (child,) = (one for one in world.programs() if one["parent"])
    assert child["parent"] in {one["id"] for one in world.programs()} - {child["id"]}


@needs("inspect-ai")
def test_inspect_needs_no_plugin(world: World) -> None:
    client = CLIENTS["inspect-ai"]
    here = world.place(client.name)
    said = client.run(here, "")
    (log,) = (here.work / "logs").glob("*.json")
    result = json.loads(log.read_text())
    assert result["status"] == "success", said
    assert result["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 1.0
    assert len(world.programs()) == 4
