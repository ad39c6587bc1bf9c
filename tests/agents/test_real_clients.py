"""Real coding agents finish a task, through `weft serve`, with a scripted model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_clients import CLIENTS, Place
from agent_player import DONE, ERRAND, OLD, play, task
from service_process import serving
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import ScriptRequest

pytestmark = [pytest.mark.agents, pytest.mark.timeout(300)]

SOURCES = {
    "mini-swe-agent": "conversation",
    "aider": "conversation",
    "codex": "session-id",
    "claude-code": "x-claude-code-session-id",
    "opencode": "x-session-id",
    "qwen-code": "conversation",
    "cline": "conversation",
}
"""How the service recognises the programs of each client."""


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips a test for which a client is not installed, before anything is started for it."""
    missing = [name for name in names if not CLIENTS[name].path.exists()]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(missing)} not installed; `make agents` installs them"
    )


def each(*names: str) -> pytest.MarkDecorator:
    """One test for each of these clients."""
    return pytest.mark.parametrize("name", [pytest.param(n, marks=needs(n)) for n in names])


Make = Callable[[str], Place]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(play, model="m", context=1_000_000)


@pytest.fixture
def url(engine: ScriptedEngine, tmp_path: Path) -> Iterator[str]:
    log = tmp_path / "service.txt"
    with mock.running(engine) as address, serving(log, "--engine", address) as ours:
        yield ours


@pytest.fixture
def place(url: str, tmp_path: Path) -> Make:
    """Makes a home and a folder to work in."""

    def make(name: str) -> Place:
        made = Place(url, tmp_path / name / "home", tmp_path / name / "work")
        made.home.mkdir(parents=True)
        made.work.mkdir()
        made.file.write_text(OLD + "\n")
        return made

    return make


def programs(url: str) -> list[dict[str, Any]]:
    return httpx.get(f"{url}/v1/programs").json()["data"]


def greeting(place: Place) -> str:
    done = subprocess.run([sys.executable, place.file], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@each(*sorted(SOURCES))
def test_a_client_finishes_its_task(
    name: str, url: str, engine: ScriptedEngine, place: Make
) -> None:
    client = CLIENTS[name]
    here = place(name)
    said = client.run(here, task(str(here.file)))
    assert greeting(here) == "Hello", said
    if name in ("codex", "claude-code", "opencode", "qwen-code"):
        assert DONE in said
    (program,) = programs(url)
    assert (program["source"], program["errors"]) == (SOURCES[name], 0)
    assert program["calls"] == len(engine.requests) > (name != "aider")
    came = [request for request in engine.requests if isinstance(request, ScriptRequest)]
    streamed = {bool(request.http.body.get("stream")) for request in came}
    assert streamed == {name != "mini-swe-agent"}


@needs("claude-code", "codex")
def test_two_at_once_are_two_programs(url: str, engine: ScriptedEngine, place: Make) -> None:
    clients = [CLIENTS["claude-code"], CLIENTS["codex"]]
    engine.token_seconds = 0.005
    places = [place(client.name) for client in clients]
    running = [
        client.start(here, task(str(here.file)))
        for client, here in zip(clients, places, strict=True)
    ]
    for client, process, here in zip(clients, running, places, strict=True):
        client.finish(process, here)
    assert [greeting(here) for here in places] == ["Hello", "Hello"]
    found = {one["name"]: one for one in programs(url)}
    assert set(found) == {"claude-code", "codex"}
    assert all(one["calls"] > 1 for one in found.values())


@each("claude-code", "codex", "opencode")
def test_a_sub_agent_is_linked_to_its_parent(
    name: str, url: str, engine: ScriptedEngine, place: Make
) -> None:
    client = CLIENTS[name]
    here = place(name)
    client.run(here, task(str(here.file), errand=True))
    assert greeting(here) == "Hello"
    assert any(ERRAND in m.content for r in engine.requests for m in r.messages if m.role == "user")
    children = [one for one in programs(url) if one["parent"]]
    assert len(children) == 1
    assert children[0]["parent"] in {one["id"] for one in programs(url)} - {children[0]["id"]}


@needs("inspect-ai")
def test_inspect_needs_no_plugin(url: str, place: Make) -> None:
    client = CLIENTS["inspect-ai"]
    here = place(client.name)
    said = client.run(here, "")
    (log,) = (here.work / "logs").glob("*.json")
    result = json.loads(log.read_text())
    assert result["status"] == "success", said
    assert result["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 1.0
    assert len(programs(url)) == 4
