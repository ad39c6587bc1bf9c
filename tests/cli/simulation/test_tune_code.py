"""weft tune code: policies proposed by files and by a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import UsageError
from weft.sandbox import check_sandbox
from weft.types import Request

Weft = Callable[..., Result]


def has_sandbox() -> bool:
    try:
        check_sandbox()
    except UsageError:
        return False
    return True


pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not has_sandbox(), reason="no bubblewrap"),
]

CODE = '''
from weft.orchestrator import Placement, Policy, policy


@policy("proposed_first")
class First(Policy):
    """Always the first engine."""

    def place(self, call, view):
        return Placement(view.engines[0], "the first")
'''
SMALL = ["best_of_n(n=2)", "--engines", "2", "--kv-tokens", "60000", "-n", "2", "-p", "fcfs"]
DRAWS = ["--draws", "1", "--held-out", "2"]


def test_proposals_of_a_model_and_of_files(weft: Weft) -> None:
    Path("mine.py").write_text(CODE)
    asked: list[str] = []

    def propose(request: Request) -> str:
        asked.append(request.messages[-1].content)
        return f"```python\n{CODE.replace('[0]', '[-1]')}```" if len(asked) == 1 else "import os"

    engine = ScriptedEngine(propose, model="m")
    arguments = ["tune", "code", *SMALL, *DRAWS, "--proposals", "mine.py", "--out", "o"]
    with running(engine) as url:
        more = ["-e", url, "--rounds", "2", "--each", "1"]
        done = weft(*arguments, *more)
        assert done.exit_code == 0, done.output
        again = weft(*arguments, *more)
        assert again.exit_code == 0
    assert len(asked) == 2  # a Store has what was answered
    assert "An earlier policy came to" in asked[1]
    assert "round-2-1.py came to nothing: it imports os" in done.stdout
    found = json.loads(Path("o/found.json").read_text())
    assert {one["name"] for one in found["finalists"]} == {"mine.py", "round-1-1.py"}
    for one in found["finalists"]:
        assert len(one["train"]) == 1
        assert len(one["held"]) == 2
    assert found["given"][0]["gain_held_out"] == 0


def test_bad_searches_of_code_are_said(weft: Weft) -> None:
    for arguments, words in (
        ([], "nobody proposes policies"),
        (["--proposals", "none.py"], "can't read none.py"),
        (["--proposals", "none.py", "-p", "stick"], "did you mean sticky"),
    ):
        done = weft("tune", "code", *SMALL, *DRAWS, *arguments)
        assert done.exit_code == 2
        assert words in " ".join(done.stderr.split()), done.output
