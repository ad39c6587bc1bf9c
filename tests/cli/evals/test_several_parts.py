"""One suite over several models and tasks: folders, resuming, merging, exports, by each of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import Result

from ports import free_port
from weft.backends.mock.server import running
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.evals.records import Folder
from weft.types import Request

Weft = Callable[..., Result]
pytestmark = pytest.mark.timeout(240)


def problems(path: Path, count: int = 4, plus: int = 1) -> None:
    lines = [json.dumps({"question": f"{n} + {plus}?", "answer": n + plus}) for n in range(count)]
    path.write_text("\n".join(lines))


def adds(request: Request) -> str:
    a, _, b = request.messages[-1].content.rstrip("?").split()
    return f"it is {int(a) + int(b)}"


def suite(path: Path, *lines: str) -> str:
    fixed = ["strategies: [greedy, 'majority(n=2, stop_early=false)']", "max_errors: 0"]
    path.write_text("\n".join([*lines, *fixed]) + "\n")
    return str(path)


def test_three_unlike_models_one_of_which_fails(weft: Weft) -> None:
    problems(Path("p.jsonl"))
    ill = [True]

    def moody(request: Request) -> str | Scripted:
        return Scripted(status=500) if ill[0] else adds(request)

    engines = [
        ScriptedEngine(adds, model="al/pha"),
        ScriptedEngine(lambda request: "it is 2", model="beta"),
        ScriptedEngine(moody, model="gamma"),
    ]
    with ExitStack() as stack:
        urls = [stack.enter_context(running(engine)) for engine in engines]
        specs = [urls[0], f"openai:beta@{urls[1]}/v1", f"openai:gamma@{urls[2]}/v1"]
        file = suite(
            Path("s.yaml"),
            "task: p.jsonl",
            "models: [al/pha, beta, gamma]",
            f"engine: {json.dumps([*specs, f'http://127.0.0.1:{free_port()}'])}",
        )
        result = weft("eval", "run", file, "--out", "out")
        assert result.exit_code == 2, result.output
        assert "out/gamma" in result.stderr
        assert "is left out" in result.stderr, "an engine of no model can't be reached"
        assert "out/beta less out/al-pha" in result.stdout.replace("\n", " ")
        asked = [len(engine.requests) for engine in engines]
        assert asked[:2] == [12, 12]
        right = {n: sum(bool(r.correct) for r in Folder(Path("out", n)).rows()) for n in
                 ("al-pha", "beta")}  # fmt: skip
        assert right == {"al-pha": 8, "beta": 2}
        assert all((Path("out", n) / "report.html").exists() for n in ("al-pha", "beta", "gamma"))

        ill[0] = False
        again = weft("eval", "run", file, "--out", "out")
        assert again.exit_code == 0, again.output
        assert [len(engine.requests) for engine in engines][:2] == asked[:2]
        assert len(Folder(Path("out", "gamma")).rows()) == 8
        assert "out/gamma less out/al-pha" in again.stdout.replace("\n", " ")

        assert weft("eval", "run", file, "--out", "half", "--limit", "2").exit_code == 0
    merged = weft("eval", "merge", "half/beta", "out/beta", "-o", "both")
    assert merged.exit_code == 0, merged.output
    assert len(Folder(Path("both")).rows()) == 8
    refused = weft("eval", "merge", "out/al-pha", "out/beta", "-o", "mixed")
    assert refused.exit_code == 2
    assert "model is 'al/pha' in the one and 'beta' in the other" in refused.stderr
    for name in ("al-pha", "beta", "gamma"):
        assert weft("eval", "export", f"out/{name}", "-o", f"{name}.csv").exit_code == 0
        with Path(f"{name}.csv").open(newline="") as table:
            assert len(list(csv.DictReader(table))) == 8
    whole = weft("eval", "show", "out")
    assert whole.exit_code == 2
    assert "give out/al-pha or out/beta or out/gamma" in whole.stderr


def test_several_tasks_are_run_each_in_a_folder_of_its_own(weft: Weft) -> None:
    problems(Path("p.jsonl"))
    problems(Path("q.jsonl"), 3, plus=5)
    engine = ScriptedEngine(adds, model="m")
    with running(engine) as url:
        file = suite(Path("s.yaml"), "tasks: [p.jsonl, {jsonl: {path: q.jsonl}}]")
        result = weft("eval", "run", file, "-e", url)
        assert result.exit_code == 0, result.output
        assert sorted(p.parent.name for p in Path("eval-s").glob("*/run.json")) == ["jsonl", "p"]
        both = weft("eval", "run", file, "-e", url, "--model", "m", "--out", "named")
        assert both.exit_code == 0, both.output
    assert len(Folder(Path("eval-s/jsonl")).rows()) == 6
    Path("none.yaml").write_text("strategies: [greedy]\n")
    none = weft("eval", "run", "none.yaml", "-e", "scripted:4")
    assert none.exit_code == 2
    assert "one task under task, or several under tasks" in none.stderr


def test_batches_are_for_endpoints_that_have_them(weft: Weft) -> None:
    problems(Path("p.jsonl"))
    engine = ScriptedEngine(adds, model="m")
    with running(engine) as url:
        vote = ("-s", "majority(n=2, stop_early=false)")
        given = ("eval", "run", "p.jsonl", *vote, "--batch", "--out", "out")
        refused = weft(*given, "-e", url)
        assert refused.exit_code == 2
        assert "takes no batches" in refused.stderr
        result = weft(*given, "-e", f"openai:m@{url}/v1")
        assert result.exit_code == 0, result.output
    assert {r.correct for r in Folder(Path("out")).rows()} == {True}
    assert len(engine.requests) == 8
    sent = [json.loads(line) for line in Path("out/batches.jsonl").read_text().splitlines()]
    assert [sorted(line) for line in sent] == [["keys", "tag"], ["id", "tag"]]
    assert len(sent[0]["keys"]) == 8, "all calls of the strategy went in one batch"


def test_options_of_runs_fit_a_screen(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = weft("eval", "run", "--help")
    lines = shown.stdout.rstrip().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40


def test_priorities_are_for_strategies_that_are_run(weft: Weft) -> None:
    problems(Path("p.jsonl"))
    file = suite(Path("s.yaml"), "task: p.jsonl", "priority: {greedy: -2, 'majority(n=9)': 1}")
    refused = weft("eval", "run", file, "-e", "scripted:4")
    assert refused.exit_code == 2
    assert "strategy under priority" in refused.stderr
