from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from service_process import free_port, serving
from waiting import PATIENCE
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.cli.main import app

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    engine = ScriptedEngine(lambda request: "Hi.", model="m", context=1000)
    log: Path = tmp_path_factory.mktemp("top") / "log.txt"
    with mock.running(engine) as address, serving(log, "--engine", address) as ours:
        for content in ([IMAGE, {"type": "text", "text": "What?"}], "word " * 5000):
            body = {"model": "m", "messages": [{"role": "user", "content": content}]}
            httpx.post(f"{ours}/v1/chat/completions", timeout=PATIENCE, json=body)
        yield ours


def top(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["top", *arguments])


def test_scripts_get_what_the_dashboard_shows(url: str) -> None:
    data = json.loads(top(url, "--json").stdout)
    shown = httpx.get(f"{url}/dashboard/data", timeout=PATIENCE).json()
    assert data.keys() == shown.keys()
    assert data["outcomes"] == {"done": 1, "refused": 1}
    assert data["errors"] == [{"outcome": "refused", "status": 400, "calls": 1}]
    assert data["totals"]["media"] == 1


def test_people_get_tables(url: str) -> None:
    said = top(f"{url}/").stdout
    assert "2 ended: 1 done, 1 refused; 1 images and files" in said
    assert "1 refused with status 400" in said
    assert "engine" in said
    assert "python-httpx" in said


def test_without_a_service_there_is_one_sentence() -> None:
    result = top(f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 2
    assert "can't be reached" in result.output
    assert "Traceback" not in result.output
