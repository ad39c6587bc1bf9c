"""Why a call of the service waited, and what it missed in the cache, for its client and the cli."""

from __future__ import annotations

from pathlib import Path

import httpx
from typer.testing import CliRunner

from service_process import serving
from waiting import PATIENCE
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.cli.main import app


def test_a_call_tells_why_its_prompt_was_computed(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda _: "well", model="m")
    with (
        mock.running(engine) as address,
        serving(tmp_path / "log", "--engine", address, "--misses") as url,
    ):
        body = {"model": "m", "messages": [{"role": "user", "content": "one two three " * 40}]}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=PATIENCE)
        id = answer.headers["x-weft-call"]
        call = httpx.get(f"{url}/v1/calls/{id}", timeout=PATIENCE).json()
        assert [one["cause"] for one in call["missed"]] == ["new"]
        assert call["wait_cause"] == ""
        said = CliRunner().invoke(app, ["explain", id, "--service", url]).output
        assert f"Call {id} of program {call['program']} asked m." in said
        assert "had not been sent before" in said
        unknown = CliRunner().invoke(app, ["explain", "nobody", "--service", url])
        assert unknown.exit_code == 2
        shown = httpx.get(f"{url}/dashboard/data", timeout=PATIENCE).json()["placements"]
        assert shown[0]["missed"] == call["missed"]
