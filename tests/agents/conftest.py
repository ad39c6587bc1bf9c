"""One service for all tests of agents: to start one takes longer than most agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_player import play
from agent_world import CONTEXT, World
from service_process import serving
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ScriptedEngine, str]]:
    engine = ScriptedEngine(play, model="m", context=CONTEXT)
    log = tmp_path_factory.mktemp("service") / "service.txt"
    with mock.running(engine) as address, serving(log, "--engine", address) as url:
        yield engine, url


@pytest.fixture
def world(served: tuple[ScriptedEngine, str], tmp_path: Path) -> Iterator[World]:
    made = World(*served, tmp_path)
    yield made
    made.leave()
