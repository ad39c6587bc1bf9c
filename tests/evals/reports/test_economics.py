"""Cost-of-pass over models and people, and idealised run times: against planted figures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.cli.main import app
from weft.errors import UsageError
from weft.evals.costs.run_time import contended, fit_run_time
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.records.kept_text import KeptText
from weft.evals.reports.economics import Prices, cost_frontier, run_times
from weft.types import Usage


def folder(path: Path, model: str, rows: list[Row], task: str = "sums") -> Path:
    there = Folder(path, create=True)
    there.save(Settings(task, "", model, 0), Session())
    for row in rows:
        there.append(row)
    return path


def solving(spec: str, right: str, tokens: int, ids: str = "abcd") -> list[Row]:
    usage = Usage(calls=1, prompt=tokens, completion=tokens)
    return [Row(spec, id, id in right, "x", usage=usage) for id in ids]


def test_the_frontier_over_models_and_people(tmp_path: Path) -> None:
    small = folder(tmp_path / "s", "small", solving("greedy", "ab", 100_000))
    large = folder(tmp_path / "l", "large", solving("greedy", "abc", 100_000, "abcde"))
    prices = {"small": Prices(1, 9), "large": Prices(10, 30)}  # 1 and 4 dollars an answer
    table, without = cost_frontier([small, large], prices, person=20)
    assert [list(row) for row in table.rows] == [
        ["small: greedy", "2 of 4", "1", "infinite", "2"],
        ["large: greedy", "3 of 4", "4", "infinite", "1"],
        ["a person", "all", "20", "20", "1"],
        ["the cheapest for each", "", "", "6.5", ""],
    ]
    assert [list(row) for row in without.rows] == [
        ["small", f"{(4 + 4 + 4 + 20) / 26:.3g}"],
        ["large", f"{(1 + 1 + 20 + 20) / 26:.3g}"],
    ]
    table, _ = cost_frontier([small, large], prices)
    assert table.rows[-1][3] == "infinite"  # nobody solves d
    (table,) = cost_frontier([small], {})
    assert table.columns[2] == "tokens of the solved"
    assert table.rows[0][2] == "200,000"


def test_what_can_t_be_compared_in_cost_is_said(tmp_path: Path) -> None:
    small = folder(tmp_path / "s", "small", solving("greedy", "ab", 10))
    large = folder(tmp_path / "l", "large", solving("greedy", "ab", 10))
    other = folder(tmp_path / "o", "large", solving("greedy", "ab", 10), task="logic")
    away = folder(tmp_path / "a", "small", solving("greedy", "z", 10, "yz"))
    one = {"small": Prices(1, 1)}
    for folders, prices, person, words in (
        ([small, other], {}, math.inf, "different tasks"),
        ([small, large], {}, math.inf, "only compared in dollars"),
        ([small], {}, 5.0, "only compared in dollars"),
        ([small, large], one, math.inf, "large: greedy has no price"),
        ([small], {"smal": Prices(1, 1)}, math.inf, "which no folder has as its model"),
        ([large, away], {**one, "large": Prices(1, 1)}, math.inf, "no problem in common"),
    ):
        with pytest.raises(UsageError, match=words):
            cost_frontier(folders, prices, person)


def calls(factor: float = 1.0, prompts: int = 7) -> list[KeptText]:
    """Calls that take 0.2 s, 1 ms a token of prompt and 20 ms a generated one; and then some."""
    return [
        KeptText(
            "x",
            prompt=50 + 10 * (i % prompts),
            cached=40,
            tokens=5 + i,
            queued=3.0 if factor > 1 else 0.0,
            seconds=factor * (0.2 + 0.001 * (10 + 10 * (i % prompts)) + 0.02 * (5 + i))
            + (3.0 if factor > 1 else 0.0),
        )
        for i in range(30)
    ]


def test_a_planted_run_time_is_recovered_exactly() -> None:
    line = fit_run_time(calls())
    assert (line.call, line.prompt, line.token) == pytest.approx((0.2, 0.001, 0.02))
    assert line.explained == pytest.approx(1)
    assert line.off == pytest.approx(0, abs=1e-9)
    count, took, ideal = contended(line, calls(2.0))
    assert count == 30
    assert took == pytest.approx(2 * ideal + 30 * 3.0)  # waiting is a part of it
    # Prompts that are all alike can't be told from what every call takes.
    same = fit_run_time(calls(prompts=1))
    assert (same.call, same.prompt, same.token) == pytest.approx((0.21, 0, 0.02))
    broken = [KeptText("x", whole=False, tokens=3, seconds=99.0)] * 20
    assert fit_run_time([*calls(), *broken]) == line
    with pytest.raises(UsageError, match="at least 10 calls"):
        fit_run_time(calls()[:9])


def test_run_times_of_evaluations(tmp_path: Path) -> None:
    def told(path: str, texts: list[KeptText], model: str = "m") -> Path:
        rows = [Row("greedy", str(i), True, texts=[text]) for i, text in enumerate(texts)]
        return folder(tmp_path / path, model, rows)

    idle, busy = told("idle", calls()), told("busy", [*calls(2.0)])
    line, table = run_times(idle, [idle, busy])
    assert table.rows[0][:3] == [str(idle), "greedy", "30"]
    assert table.rows[0][-1] == "1"
    ideal = sum(line.seconds(text) for text in calls())
    assert table.rows[1][-1] == f"{2 + 90 / ideal:.3g}"
    with pytest.raises(UsageError, match="a run time is of one model"):
        run_times(idle, [told("other", calls(), "n")])
    done = CliRunner().invoke(app, ["eval", "runtime", str(idle), str(busy)])
    assert done.exit_code == 0, done.output
    assert "run times" in done.stdout
    done = CliRunner().invoke(app, ["eval", "frontier", str(busy), "--price", "m=0.1:x"])
    assert done.exit_code == 2
    assert "--price m=0.1:x must be dollars of a million tokens" in done.stderr
    done = CliRunner().invoke(app, ["eval", "frontier", str(busy), "--price", "m=0.1:1"])
    assert done.exit_code == 0, done.output
    assert "cost-of-pass" in done.stdout
