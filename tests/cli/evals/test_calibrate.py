"""weft eval calibrate: from an evaluation's results to a strategy that uses them."""

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

LINES = "".join(f"line {i:03}.......\n" for i in range(1, 9))
WHOLE = f"<think>........\n{LINES}so: </think>\nanswer y"


def think(request: Request) -> str:
    """Eight lines of thinking; an answer that is tried behind the first two is wrong."""
    written = request.messages[-1].content if request.open else ""
    if WHOLE.startswith(written):
        return WHOLE[len(written) :]
    lines = written.count("line")
    return f"answer {'xxyyyyyy'[lines - 1]}" if lines else "no idea"


def test_from_results_to_a_strategy_that_uses_them(weft: Weft) -> None:
    rows = [{"question": f"Letter {i}?", "answer": "y"} for i in range(4)]
    Path("q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    task = "jsonl(path=q.jsonl, pattern='answer (.)', think=Think.)"
    spec = "conformal_exit(every=16, by=agreement, miss=0.2{})"
    with running(ScriptedEngine(think, model="m")) as url:

        def evaluate(more: str, out: str) -> Result:
            arguments = ("-s", spec.format(more), "-e", url, "--store", "calls.sqlite")
            result = weft("eval", "run", task, *arguments, "--out", out)
            assert result.exit_code == 0, result.output
            return result

        evaluate(", learn=true", "fit")
        made = weft("eval", "calibrate", "fit", "--store", "calls.sqlite")
        assert made.exit_code == 0, made.output
        named = weft("eval", "calibrate", "fit", "--store", "calls.sqlite", "--task", "letters")
        listed = weft("eval", "calibrations", "calls.sqlite")
        for result, lines in ((made, 1), (named, 1), (listed, 2)):
            body = result.stdout.splitlines()[1:]
            assert len(body) == lines
            for line in body:
                # Of each problem eight trials, six of them right: 25 / 34 as a posterior has it.
                assert "conformal_exit(every=16, by=agreement) " in line
                assert line.split()[-6:-3] == ["4", "32", "74"]
        assert " letters " in named.stdout
        for more, out in (("", "used"), (", task=letters", "named")):
            evaluate(more, out)
            (row,) = {
                (r["answer"], r["details"]["trials"], r["details"]["exited"])
                for r in map(json.loads, Path(out, "samples.jsonl").read_text().splitlines())
            }
            assert row == ("y", 5, True)  # wrong ones came twice in a row, so three times is right


def test_what_can_t_be_calibrated_is_said(weft: Weft) -> None:
    Path("q.jsonl").write_text('{"question": "1 + 1?", "answer": 2}\n')
    made = weft("eval", "run", "q.jsonl", "-s", "greedy", "-e", "scripted:2", "--out", "o")
    assert made.exit_code == 0
    result = weft("eval", "calibrate", "o")
    assert result.exit_code == 2
    assert "no strategy in o scored what a calibration could be made of" in result.stderr
    result = weft("eval", "calibrations", "nowhere.sqlite")
    assert result.exit_code == 2
    assert "there is no store nowhere.sqlite" in result.stderr
    assert not Path("nowhere.sqlite").exists()


def test_a_table_of_strategies_is_fitted_and_measured(weft: Weft) -> None:
    """Half of the questions are easy; of the others only a long vote knows more."""
    rows = [{"question": f"Number {i}?", "answer": i % 2} for i in range(24)]
    Path("q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    asked: dict[str, int] = {}

    def answer(request: Request) -> str:
        question = request.messages[-1].content
        asked[question] = times = asked.get(question, -1) + 1
        easy = int(question.removeprefix("Number ").removesuffix("?")) % 2 == 1
        # One of the probe's four is right, and all of the vote's that comes after it.
        return "1" if easy else "0" if times > 3 or times == 2 else "1"

    with running(ScriptedEngine(answer, model="m")) as url:
        vote = "majority(n=15, stop_early=false)"
        arguments = ("-e", url, "--store", "calls.sqlite")
        specs = ("-s", "compute_optimal(learn=true)", "-s", vote)
        run = weft("eval", "run", "q.jsonl", *specs, *arguments, "--out", "fit")
        assert run.exit_code == 0, run.output
        made = weft("eval", "calibrate", "fit", "--store", "calls.sqlite")
        assert made.exit_code == 0, made.output
        asked.clear()
        run = weft("eval", "run", "q.jsonl", "-s", "compute_optimal", *arguments, "--out", "used")
        assert run.exit_code == 0, run.output
    (line,) = [line for line in made.stdout.splitlines() if line.strip().startswith(vote)]
    assert line.split()[-3] == line.split()[-1] == "100.0"
    picks = {
        int(row["id"]) % 2: row["details"]["pick"]
        for row in map(json.loads, Path("used", "samples.jsonl").read_text().splitlines())
    }
    assert set(picks.values()) == {"probe", vote}


def test_profiles_are_fitted_and_route(weft: Weft) -> None:
    """One answer is right for short numbers; a vote is right for all."""
    rows = [{"question": f"Number {i}?", "answer": i, "size": i % 4} for i in range(24)]
    Path("q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    def answer(request: Request) -> str:
        number = int(request.messages[-1].content.removeprefix("Number ").removesuffix("?"))
        right = number % 4 < 2 or request.sampling.temperature > 0
        return str(number if right else -1)

    vote = "majority(n=3, stop_early=false)"
    task = "jsonl(path=q.jsonl, demands=size)"
    with running(ScriptedEngine(answer, model="m")) as url:
        arguments = ("-e", url, "--store", "calls.sqlite")
        specs = ("-s", "by_demands(learn=true)", "-s", vote, "-s", "greedy")
        run = weft("eval", "run", task, *specs, *arguments, "--out", "fit")
        assert run.exit_code == 0, run.output
        made = weft("eval", "calibrate", "fit", "--store", "calls.sqlite")
        assert made.exit_code == 0, made.output
        used = weft("eval", "run", task, "-s", "by_demands(sure=0.6)", *arguments, "--out", "used")
        assert used.exit_code == 0, used.output
    (line,) = [x for x in made.stdout.splitlines() if x.strip().startswith("greedy ")]
    assert "1.00" in line  # the AUC
    assert "size -" in line
    assert "the cheapest that is right with 0.8: 100.0 % right" in made.stdout
    picks = {
        int(row["id"]) % 4: row["details"]["pick"]
        for row in map(json.loads, Path("used", "samples.jsonl").read_text().splitlines())
    }
    # Ids are lines, from 1 on.
    assert picks == {1: "greedy", 2: "greedy", 3: vote, 0: vote}
