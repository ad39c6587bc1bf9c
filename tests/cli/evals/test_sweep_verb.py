"""weft eval sweep."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.types import Request

Weft = Callable[..., Result]
pytestmark = pytest.mark.timeout(240)


def test_a_sweep_is_run_once_and_goes_on(weft: Weft) -> None:
    """The model is right where it is told to think, and draws what its tokens allow."""
    rows = [{"question": f"{i} + 1?", "answer": i + 1} for i in range(6)]
    Path("q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    def answer(request: Request) -> str:
        asked = request.messages[-1].content
        number = int(asked.split()[0])
        return str(number + 1 if "Think." in asked else number)

    Path("s.yaml").write_text(
        "task: q.jsonl\nstrategies: ['majority(n=64, stop_early=false)']\n"
        "sweep:\n  prompt: ['', Think.]\n  top_p: [1, 0.5]\n  tokens: 200\n"
    )
    engine = ScriptedEngine(answer, model="m")
    with running(engine) as url:
        first = weft("eval", "sweep", "s.yaml", "-e", url, "--out", "o", "--limit", "5")
        assert first.exit_code == 0, first.output
        asked = len(engine.requests)
        again = weft("eval", "sweep", "s.yaml", "-e", url, "--out", "o", "--limit", "5")
        assert again.exit_code == 0
        assert len(engine.requests) == asked
    assert {r.sampling.top_p for r in engine.requests} == {1, 0.5}
    assert "what settings change" in first.stdout
    cells = [json.loads(line) for line in Path("o/cells.jsonl").read_text().splitlines()]
    assert [c["cell"]["prompt"] for c in cells] == ["", "", "Think.", "Think."]
    assert [c["accuracy"] for c in cells] == [0, 0, 1, 1]
    for cell in cells:
        assert 150 < cell["spent"] <= 200
    shown = weft("eval", "show", "o")
    (line,) = [x for x in shown.stdout.splitlines() if x.strip().startswith("prompt ")]
    assert "2 of 2" in line
    assert "+100.0" in line


def test_what_is_no_sweep_is_said(weft: Weft) -> None:
    for arguments, words in (
        (["countdown"], "has no sweep; give --over"),
        (["countdown", "--over", "n"], "must be written as setting=value"),
        (["countdown", "--over", "n=1", "--over", "n=2"], "names a setting twice"),
        (["countdown", "--over", "m=1"], "unknown setting of a sweep 'm'"),
    ):
        result = weft("eval", "sweep", *arguments)
        assert result.exit_code == 2
        assert words in " ".join(result.stderr.split()), result.stderr
