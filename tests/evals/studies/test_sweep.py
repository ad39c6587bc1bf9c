"""Sweeps: cells laid out, run, resumed and compared at equal tokens alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from weft.errors import ConfigError, UnknownName, UsageError
from weft.evals.records import Row, Session, Settings
from weft.evals.reports.findings import judged
from weft.evals.reports.report import html
from weft.evals.reports.sweep import cell_lines
from weft.evals.results import gather
from weft.evals.suites.grid import cells, read_axis
from weft.evals.suites.suite import load
from weft.search import parse_strategy
from weft.types import Usage


def test_a_grid_varies_what_strategies_have_and_sets_the_rest_around_them() -> None:
    found = cells(
        ["best_of_n", "greedy"],
        {"n": [2, 4], "verifier": ["function", "role:judge"], "top_p": [1, 0.9]},
    )
    assert list(found) == [parse_strategy(spec).spec for spec in found]
    assert len(found) == 2 * 2 * 2 + 2
    inner = "best_of_n(n=4, verifier=role:judge)"
    assert found[f"asked(of={inner}, top_p=0.9)"] == {
        "strategy": "best_of_n(n=8, verifier=model)", "n": 4, "verifier": "role:judge", "top_p": 0.9
    }  # fmt: skip
    # What has no `n` is not varied by it.
    assert found["asked(of=greedy, top_p=1)"] == {"strategy": "greedy", "top_p": 1}


@pytest.mark.parametrize(
    ("axes", "error", "words"),
    [
        ({"temprature": [1]}, UnknownName, "did you mean temperature"),
        ({"temperature": [0.5, 7]}, UsageError, "temperature=7 of majority must be at most 2"),
        ({"top_p": []}, UsageError, "top_p of the sweep has no values"),
        ({"n": list(range(1, 2000))}, UsageError, "more than 1000 cells"),
    ],
)
def test_what_can_t_be_swept_is_said(axes: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        cells(["majority"], axes)


def test_axes_as_options_write_them() -> None:
    assert read_axis("temperature=0.4,1") == ("temperature", [0.4, 1])
    assert read_axis("verifier=model, restart(a=1,b=2)")[1] == ["model", "restart(a=1,b=2)"]
    assert read_axis("prompt=,Let's think.,'So, think.'") == (
        "prompt", ["", "Let's think.", "So, think."]
    )  # fmt: skip
    with pytest.raises(UsageError, match="setting=value"):
        read_axis("temperature")


def test_a_suite_says_where_its_sweep_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("task: countdown\nstrategies: [majority]\nsweep:\n  n: 4\n  top_p: [0.9, 1]\n")
    assert len(load(path).parts()[1]) == 2
    path.write_text("task: countdown\nstrategies: [greedy]\nsweep: {n: [4]}\n")
    with pytest.raises(ConfigError, match=r"s\.yaml:3: sweep: unknown setting of a sweep 'n'"):
        load(path)


def rows(spec: str, right: int, tokens: int, n: int = 60) -> list[Row]:
    usage = Usage(1, 10, 10, tokens - 10)
    return [Row(spec, f"{i:02}", i < right, "x", usage=usage) for i in range(n)]


def test_settings_are_compared_at_equal_tokens_and_all_together() -> None:
    grid = cells(["majority"], {"temperature": [0.4, 0.8], "n": [2, 4], "top_p": [1, 0.9]})
    made: list[Row] = []
    for spec, cell in grid.items():
        hot, many = cell["temperature"] == 0.8, cell["n"] == 4
        # Temperature brings 20 of 60 problems, `n` doubles the tokens, top_p does nothing.
        made += rows(spec, 30 + 20 * hot, 100 * (1 + many) + 5 * hot)
    evaluation = gather(Settings("t", "", "m", 0), Session(cells=grid), made)
    report = judged(evaluation)
    by = {one.axis: one for one in report.effects}
    assert set(by) == {"temperature", "n", "top_p"}
    assert (by["temperature"].value, by["temperature"].against) == ("0.8", "0.4")
    assert (by["temperature"].pairs, by["temperature"].alike) == (4, 4)
    assert by["temperature"].difference.mean == pytest.approx(20 / 60)
    # 20 problems, four pairs each, all of one sign; three cells are like the first in tokens.
    assert report.family.count == 2 + 3
    assert by["temperature"].cells()[-1] == "< 0.001"
    assert report.family.corrected(by["temperature"].key) == pytest.approx(5 * 2 * 0.5**20)
    assert by["n"].alike == 0
    assert by["n"].cells()[-2:] == ["not at equal tokens: 1.98 times as many", ""]
    assert by["top_p"].difference.mean == 0
    assert by["top_p"].cells()[-1] == "1.000"
    assert {d.first.strategy for d in report.differences} < set(grid)
    page = html(evaluation)
    assert "What settings change" in page
    assert "Cells of the sweep" in page
    assert len(cell_lines(evaluation.results, grid).splitlines()) == len(grid)


def test_without_a_sweep_nothing_of_it_is_said() -> None:
    evaluation = gather(Settings("t", "", "m", 0), Session(), rows("greedy", 3, 50))
    assert not judged(evaluation).effects
    assert "sweep" not in html(evaluation)
    swept = replace(evaluation.session, cells=cells(["greedy"], {"top_p": [1, 0.5]}))
    assert not judged(replace(evaluation, session=swept)).effects
