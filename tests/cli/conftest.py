"""The `weft` command in this process, and engines for it."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from typer.testing import CliRunner, Result

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.cli.main import app
from weft.evals.tasks.puzzles.countdown_player import Player

Weft = Callable[..., Result]


@pytest.fixture
def weft(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Weft:
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    monkeypatch.setenv("WEFT_HOME", str(tmp_path_factory.mktemp("home")))

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False)

    return invoke


@pytest.fixture
def player() -> Generator[str]:
    """The address of a server that plays Countdown well."""
    play = Player(0.9)
    with running(ScriptedEngine(play.reply, play.scores, model="countdown")) as url:
        yield url
