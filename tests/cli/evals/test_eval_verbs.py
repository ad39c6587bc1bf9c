from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from weft.backends.mock.server import running
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.cli.evals.verbs import recorded
from weft.evals.records import Folder
from weft.evals.records.row import key_of
from weft.evals.tasks.puzzles.countdown_player import Player
from weft.types import Request

Weft = Callable[..., Result]
pytestmark = pytest.mark.timeout(240)  # they render plots and start processes


def refused(result: Result, *words: str) -> str:
    """The one sentence with which the command ended."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("weft: ")]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]
    return lines[0]


def test_run_show_compare(weft: Weft, player: str) -> None:
    arguments = ["eval", "run", "countdown", "-s", "greedy", "-s", "majority(n=3)", "-e", player]
    result = weft(*arguments, "--limit", "5", "--out", "a")
    assert result.exit_code == 0, result.output
    assert "majority(n=3)" in result.stdout
    assert "report: a/report.html" in result.stdout
    assert "majority(n=3): 5/5" in result.stderr
    names = {p.name for p in Path("a").iterdir()}
    assert names >= {"run.json", "samples.jsonl", "report.html", "settings.json", "store.sqlite"}
    run = json.loads(Path("a/run.json").read_text())
    assert run["model"] == "countdown"
    assert [r["n"] for r in run["results"]] == [5, 5]

    again = weft(*arguments, "--limit", "5", "--out", "a")
    assert again.exit_code == 0
    assert "5 from before" in again.stderr
    assert json.loads(Path("a/run.json").read_text()) == run

    shown = weft("eval", "show", "a")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0].startswith("countdown, model countdown, seed 0")

    assert weft(*arguments, "--limit", "5", "--out", "b").exit_code == 0
    compared = weft("eval", "compare", "a", "b")
    assert compared.exit_code == 0
    assert "greedy" in compared.stdout
    assert "can't tell" in compared.stdout


def test_a_rerun_with_the_store_alone_is_free(weft: Weft) -> None:
    play = Player(0.9)
    engine = ScriptedEngine(play.reply, play.scores, model="countdown")
    with running(engine) as url:
        arguments = ["eval", "run", "countdown", "-s", "best_of_n(n=3)", "-e", url, "--limit", "4"]
        first = weft(*arguments, "--out", "a", "--store", "calls.sqlite")
        assert first.exit_code == 0, first.output
        asked = len(engine.requests)
        second = weft(*arguments, "--out", "b", "--store", "sqlite:///calls.sqlite")
        assert second.exit_code == 0, second.output
    assert len(engine.requests) == asked
    runs = [json.loads(Path(d, "run.json").read_text())["results"][0] for d in "ab"]
    for what in ("n", "accuracy", "calls"):
        assert runs[0][what] == runs[1][what]
    assert runs[0]["tokens"]["completion"] == runs[1]["tokens"]["completion"]


def test_passwords_are_not_recorded() -> None:
    given = ["eval", "run", "x", "--store", "postgresql://me:s3:cret@db:1/w", "-e", "http://h:80"]
    kept = recorded(given)
    assert kept == "weft eval run x --store 'postgresql://me:***@db:1/w' -e http://h:80"


def test_a_suite_file_with_options_over_it(weft: Weft, player: str) -> None:
    Path("s.yaml").write_text(
        f"task: countdown\nstrategies: [greedy]\nlimit: 3\nengine: {player}\nseed: 5\n"
    )
    assert weft("eval", "run", "s.yaml").exit_code == 0
    run = json.loads(Path("eval-countdown/run.json").read_text())
    assert (run["seed"], run["results"][0]["n"]) == (5, 3)
    assert weft("eval", "run", "s.yaml", "--limit", "2", "--out", "o").exit_code == 0
    assert json.loads(Path("o/run.json").read_text())["results"][0]["n"] == 2


def test_ones_own_questions(weft: Weft) -> None:
    rows = [{"question": f"{i} + {i}?", "answer": 2 * i} for i in range(4)]
    Path("q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with running(ScriptedEngine("It is 4.", model="m")) as url:
        task = "jsonl(path='q.jsonl')"
        result = weft("eval", "run", task, "-s", "greedy", "-e", url, "--out", "o")
    assert result.exit_code == 0, result.output
    assert json.loads(Path("o/run.json").read_text())["results"][0]["accuracy"] == 0.25


def test_what_a_strategy_lacks_is_said_before_it_runs(weft: Weft) -> None:
    Path("q.jsonl").write_text('{"question": "1 + 1?", "answer": 2}\n')
    strategies = ("-s", "greedy", "-s", "best_of_n(n=2, verifier=role:judge)")
    result = weft("eval", "run", "q.jsonl", *strategies, "-e", "scripted:2", "--out", "o")
    lines = result.stderr.splitlines()
    warned = [line for line in lines if line.startswith("warning: ")]
    assert len(warned) == 1, result.stderr
    assert "best_of_n(n=2, verifier=role:judge) can't have its answers judged" in warned[0]
    assert lines.index(warned[0]) < next(i for i, line in enumerate(lines) if "greedy" in line)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["countdwn"], ["unknown task 'countdwn'; did you mean countdown"]),
        (["countdown", "-s", "bestofn"], ["unknown strategy 'bestofn'; did you mean best_of_n"]),
        (["countdown", "-s", "majority(m=3)"], ["unknown parameter of majority 'm'"]),
        (["countdown", "-s", "majority(n=0)"], ["n=0 of majority must be at least 1"]),
        (["countdown", "-s", "majority(n=3"], ["expected", "position"]),
        (["countdown", "--limit", "0"], ["--limit", "greater than or equal to 1", "not 0"]),
        (["countdown", "--seed", "-1"], ["--seed", "not -1"]),
        (["countdown", "--budget", "tokens=0"], ["--budget tokens=0 must be above 0"]),
        (["countdown", "--budget", "token=3"], ["'token'; did you mean tokens"]),
        (["countdown", "--budget", "tokens"], ["'tokens' must be written as key=value"]),
        (["countdown", "--budget", "calls=1.5"], ["--budget calls=1.5 must be a whole number"]),
        (["countdown", "--role", "verifier"], ["--role 'verifier' must be written as key=value"]),
        (["countdown", "-e", "bogus"], ["unknown engine 'bogus'"]),
        (["none.yaml"], ["can't read suite none.yaml: No such file"]),
        (["jsonl(path='none.jsonl')", "-s", "greedy"], ["can't read none.jsonl"]),
        (["jsonl", "-s", "greedy"], ["task jsonl needs path"]),
    ],
)
def test_bad_arguments(weft: Weft, arguments: list[str], words: list[str]) -> None:
    refused(weft("eval", "run", *arguments), *words)


def test_a_bad_suite_names_line_and_field(weft: Weft) -> None:
    Path("s.yaml").write_text("task: countdown\nstrategies:\n  - greedy\nlimit: 0\n")
    refused(weft("eval", "run", "s.yaml"), "s.yaml:4: limit:")


def test_a_task_without_suite_or_engine(weft: Weft) -> None:
    Path("q.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    refused(weft("eval", "run", "jsonl(path='q.jsonl')"), "give --strategy")
    refused(weft("eval", "run", "jsonl(path='q.jsonl')", "-s", "greedy"), "give --engine")


@pytest.mark.parametrize("name", ["q.JSONL", "q.json", "questions"])
def test_a_file_of_problems_is_taken_for_what_it_is(weft: Weft, name: str) -> None:
    Path(name).write_text('{"question": "a", "answer": "b"}\n{"question": "c", "answer": "d"}\n')
    refused(weft("eval", "run", name, "-s", "greedy"), "give --engine")


@contextmanager
def web(body: bytes) -> Generator[str]:
    """A web server that answers everything with a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_bad_engines(weft: Weft, player: str) -> None:
    one = ["eval", "run", "countdown", "-s", "greedy", "--limit", "2", "--out", "o"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        refused(weft(*one, "-e", url), "nothing answers", url)
    with web(b"<html><body>Hello</body></html>") as url:
        refused(weft(*one, "-e", url), url)
    refused(weft(*one, "-e", player, "--model", "gpt"), "gpt", "countdown")
    refused(weft(*one, "-e", player, "--role", "verifier=judge"), "judge")
    assert not Path("o/samples.jsonl").exists()


def test_an_engine_that_dies_on_the_way(weft: Weft) -> None:
    play = Player()
    count = 0

    def mortal(request: Request) -> str | Scripted:
        nonlocal count
        count += 1
        return Scripted("11 - 9", dies_after=3) if count > 6 else play.reply(request)

    arguments = ["eval", "run", "countdown", "-s", "greedy", "--limit", "12", "--out", "o"]
    with running(ScriptedEngine(mortal, model="countdown")) as url:
        said = refused(
            weft(*arguments, "-e", url, "--concurrency", "1"), "6 finished ones are kept"
        )
    assert "the same command goes on from there" in said
    with running(ScriptedEngine(play.reply, model="countdown")) as url:
        refused(weft(*arguments, "-e", url), "or --moved if it is the same server to go on")
        result = weft(*arguments, "-e", url, "--moved")
    assert result.exit_code == 0, result.output
    assert "6 from before" in result.stderr
    assert json.loads(Path("o/run.json").read_text())["results"][0]["n"] == 12


def test_prompts_longer_than_the_context(weft: Weft) -> None:
    with running(ScriptedEngine("x", model="countdown", context=10)) as url:
        result = weft(
            "eval", "run", "countdown", "-s", "greedy", "-e", url, "--limit", "3", "--out", "o"
        )
    refused(result, "context", "10")


def test_other_settings_in_the_folder(weft: Weft, player: str) -> None:
    arguments = ["eval", "run", "countdown", "-s", "greedy", "-e", player, "--limit", "2"]
    assert weft(*arguments, "--out", "o").exit_code == 0
    refused(weft(*arguments, "--out", "o", "--seed", "3"), "was made with seed 0, not 3")
    refused(weft(*arguments, "--out", "o", "--budget", "calls=5"), "was made with budget none")


def test_showing_what_is_not_there(weft: Weft) -> None:
    refused(weft("eval", "show", "nowhere"), "nowhere holds no evaluation")
    Path("file").write_text("")
    refused(weft("eval", "run", "countdown", "-s", "greedy", "--out", "file"), "can't use file")


def test_records_that_are_broken_end_with_a_sentence_and_stay(weft: Weft, player: str) -> None:
    arguments = ["eval", "run", "countdown", "-s", "greedy", "-e", player, "--limit", "3"]
    assert weft(*arguments, "--out", "o").exit_code == 0
    rows = Path("o/samples.jsonl")
    whole = rows.read_text()
    first, second, third = whole.splitlines(keepends=True)
    row = json.loads(second)
    broken: list[Any] = ['{"strategy": "greedy", "id": "1", "rep', [], 5]
    broken += [row | {"correct": "perhaps"}, row | {"texts": [7]}, row | {"seconds": "x"}]
    broken += [row | {"usage": row["usage"] | {"calls": "x"}}, {"strategy": "a", "id": "b"}]
    for one in broken:
        line = one if isinstance(one, str) else json.dumps(one)
        rows.write_text(f"{first}{line}\n{third}")
        refused(weft("eval", "rescore", "o"), ":2: not a row", "remove this line")
    for verb in (["show"], ["watch", "--once"], ["export", "-o", "x.eval"], ["retry"]):
        refused(weft("eval", verb[0], "o", *verb[1:]), ":2: not a row", "remove this line")
    refused(weft(*arguments, "--out", "o"), ":2: not a row", "remove this line")
    assert rows.read_text() == f"{first}{line}\n{third}"
    rows.write_text("")
    refused(weft("eval", "show", "o", "--sample", "1"), "has no rows yet")
    refused(weft("eval", "export", "o", "-o", "x.eval"), "no rows to export")
    rows.write_text(first + third[:-40])
    assert weft(*arguments, "--out", "o").exit_code == 0
    assert sorted(key_of(line) for line in rows.read_bytes().splitlines(keepends=True)) == sorted(
        key_of(line) for line in whole.encode().splitlines(keepends=True)
    )
    settings = Path("o/settings.json")
    kept = settings.read_text()
    for name, other in (
        ("seconds", '"seconds": [1], "x": {'),
        ("samples", '"samples": {"a": "b",'),
    ):
        settings.write_text(kept.replace(f'"{name}": {{', other))
        refused(weft("eval", "show", "o"), "can't be read as settings of an evaluation", name)


def test_scores_of_other_packages_are_shown(weft: Weft, player: str) -> None:
    arguments = ["eval", "run", "countdown", "-s", "greedy", "-e", player, "--limit", "1"]
    assert weft(*arguments, "--out", "o").exit_code == 0
    (row,) = Folder(Path("o")).whole_rows()
    scores = {"match": "C", "half": 0.5, "parts": {"form": 1, "sense": 0.25}}
    Folder(Path("o")).append(replace(row, details={"scores": scores}))
    shown = weft("eval", "show", "o", "--sample", "1")
    assert "scores: match C, half 0.5, parts (form 1, sense 0.25)" in shown.stdout


def test_all_options_of_a_run_fit_a_screen(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = weft("eval", "run", "--help").stdout
    assert len(shown.splitlines()) <= 40, shown


def test_records_are_shown_read_anew_and_put_together(weft: Weft, player: str) -> None:
    arguments = ["eval", "run", "countdown", "-s", "majority(n=2)", "-e", player, "--limit"]
    assert weft(*arguments, "2", "--out", "a").exit_code == 0
    assert weft(*arguments, "3", "--out", "b").exit_code == 0
    sample = weft("eval", "show", "a", "--sample", "2", "-s", "majority")
    assert sample.exit_code == 0, sample.output
    assert "right answer: " in sample.stdout
    assert "<- the answer" in sample.stdout
    refused(weft("eval", "show", "a", "--sample", "9"), "number from 1 to 2")
    refused(weft("eval", "show", "a", "--full"), "give --sample")
    refused(weft("eval", "show", "a", "--sample", "1", "-s", "beam"), "there are majority")
    assert "0 of 2 rows changed" in weft("eval", "rescore", "a").stdout
    refused(weft("eval", "rescore", "a", "--reader", "number"), "reader")
    assert "no sample of a has failed" in weft("eval", "retry", "a").stdout
    assert weft("eval", "merge", "a", "b", "-o", "c").exit_code == 0
    assert "3/3" in weft("eval", "watch", "c", "--once").stdout
    refused(weft("eval", "watch", "nowhere", "--once"), "no folder nowhere")
    assert Path("c/viewer.html").is_file()
    assert weft("eval", "export", "c", "-o", "c.csv").exit_code == 0
    refused(weft("eval", "export", "c", "-o", "c.txt"), ".csv, .parquet or .eval")
    refused(weft("eval", "export", "c", "-o", "nowhere/c.csv"), "name another file")
