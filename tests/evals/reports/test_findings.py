from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from weft.errors import UsageError
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.reports.compare import compared
from weft.evals.reports.findings import Finding, findings, judged
from weft.evals.reports.labels import labels, parameters
from weft.evals.results import Evaluation, gather
from weft.types import Usage

SETTINGS = Settings("countdown", "", "m", 0)


def rows(spec: str, right: float, tokens: int, n: int = 200) -> list[Row]:
    """Rows of which a share is right, in an order that differs between strategies."""
    order = [i < right * n for i in range(n)]
    random.Random(spec).shuffle(order)
    usage = [Usage(1, 10, 10, tokens + i % 7 - 3) for i in range(n)]
    return [
        Row(spec, f"{i:03}", ok, "x", usage=u, seconds=1.0)
        for i, (ok, u) in enumerate(zip(order, usage, strict=True))
    ]


def evaluation(*parts: list[Row]) -> Evaluation:
    return gather(SETTINGS, Session(), [r for part in parts for r in part])


def finding(start: str, *parts: list[Row]) -> Finding:
    return next(f for f in findings(evaluation(*parts)) if f.question.startswith(start))


@pytest.mark.parametrize(
    ("star", "best", "verdict"),
    [
        ((0.95, 300), (0.70, 900), "yes"),
        ((0.60, 300), (0.90, 900), "no"),
        ((0.95, 900), (0.70, 300), "no"),
        ((0.80, 300), (0.81, 900), "can't tell"),
        ((0.80, 500), (0.80, 500), "can't tell"),
    ],
)
def test_does_astar_reach_best_of_n(
    star: tuple[float, int], best: tuple[float, int], verdict: str
) -> None:
    found = finding("Does A*", rows("astar(k=4)", *star), rows("best_of_n(n=16)", *best))
    assert found.verdict == verdict
    assert "points on 200 problems" in found.text


def test_identical_answers_on_many_problems_reach() -> None:
    best = rows("best_of_n(n=16)", 0.8, 900)
    star = [
        Row("astar", r.id, r.correct, "x", usage=Usage(1, 0, 0, 300 + i % 3), seconds=1.0)
        for i, r in enumerate(best)
    ]
    assert finding("Does A*", star, best).verdict == "yes"
    assert finding("Does A*", star[:20], best[:20]).verdict == "can't tell"


@pytest.mark.parametrize(
    ("first", "votes", "verdict", "says"),
    [
        ((0.9, 500), [(0.6, 510)], "yes", "against majority"),
        ((0.6, 500), [(0.9, 490)], "no", "against majority"),
        ((0.9, 500), [(0.6, 200), (0.62, 900)], "yes", "mixed in the proportion"),
        ((0.7, 500), [(0.6, 200), (0.85, 900)], "can't tell", "mixed in the proportion"),
        ((0.6, 500), [(0.9, 200)], "no", "with fewer tokens"),
        ((0.9, 500), [(0.6, 200)], "can't tell", "more samples"),
        ((0.9, 500), [(0.6, 900)], "yes", "with fewer tokens"),
        ((0.6, 500), [(0.9, 900)], "can't tell", "fewer samples"),
    ],
)
def test_does_first_finish_beat_majority(
    first: tuple[float, int], votes: list[tuple[float, int]], verdict: str, says: str
) -> None:
    majority = [rows(f"majority(n={i})", *v) for i, v in enumerate(votes, 2)]
    found = finding("Does first-finish", rows("first_finish(n=4)", *first), *majority)
    assert found.verdict == verdict
    assert says in found.text


def test_without_the_strategies_there_are_no_findings() -> None:
    assert findings(evaluation(rows("greedy", 0.5, 50))) == []
    assert findings(evaluation()) == []


def test_gain_over_greedy() -> None:
    found = finding("Is the most", rows("greedy", 0.5, 50), rows("beam(n=4)", 0.9, 500))
    assert found.verdict == "yes"
    assert "for 10.0 times the tokens" in found.text


def test_labels_show_what_differs() -> None:
    specs = ["majority(n=4)", "majority(n=16, think=true)", "astar(k=4, verifier=model)"]
    assert labels(specs) == {
        specs[0]: "majority n=4 no think",
        specs[1]: "majority n=16 think=true",
        specs[2]: "astar",
    }
    assert parameters("a(x=b(y=1, z=2), w=3)") == {"x": "b(y=1, z=2)", "w": "3"}


def saved(path: Path, *parts: list[Row], settings: Settings = SETTINGS) -> Path:
    folder = Folder(path, create=True)
    folder.save(settings, Session())
    for part in parts:
        for row in part:
            folder.append(row)
    return path


def test_compare_pairs_by_id(tmp_path: Path) -> None:
    a = saved(tmp_path / "a", rows("greedy", 0.5, 50), rows("beam(n=4)", 0.7, 50))
    b = saved(tmp_path / "b", rows("greedy", 0.5, 90)[:150])
    (row,) = compared(a, b)
    assert row.name == "greedy"
    assert row.accuracy.difference.n == 150
    assert row.accuracy.difference.mean == 0
    assert row.tokens.difference.mean == pytest.approx(40)
    assert row.verdict == "can't tell"


def test_compare_two_lone_strategies(tmp_path: Path) -> None:
    a, b = (
        saved(tmp_path / "a", rows("greedy", 0.5, 50)),
        saved(tmp_path / "b", rows("beam", 0.9, 50)),
    )
    (row,) = compared(a, b)
    assert row.verdict == "second is better"


def test_compare_refuses_what_has_nothing_in_common(tmp_path: Path) -> None:
    a = saved(tmp_path / "a", rows("greedy", 0.5, 50), rows("astar", 0.5, 50))
    b = saved(tmp_path / "b", rows("beam", 0.5, 50))
    with pytest.raises(UsageError, match="no strategy in common"):
        compared(a, b)
    other = saved(tmp_path / "c", rows("greedy", 0.5, 50), settings=Settings("jsonl", "", "m", 0))
    with pytest.raises(UsageError, match="only runs of one task"):
        compared(a, other)
    apart = [Row("greedy", f"x{r.id}", r.correct, "x") for r in rows("greedy", 0.5, 50)]
    with pytest.raises(UsageError, match="no problem in common"):
        compared(a, saved(tmp_path / "d", apart))


def test_the_best_of_many_is_judged_as_one_of_many() -> None:
    base = [Row("greedy", str(i), i % 2 == 0, "x") for i in range(40)]
    better = [Row("beam", r.id, r.correct or int(r.id) < 14, "x") for r in base]
    alike = [
        Row(f"beam(n={n})", r.id, r.correct, "x", usage=Usage(n)) for n in range(2, 9) for r in base
    ]
    alone = finding("Is the most", base, better)
    assert alone.verdict == "yes"
    found = judged(evaluation(base, better, alike))
    assert found.family.count == 8
    (best,) = [d for d in found.differences if d.first.strategy == "beam"]
    assert best.p == pytest.approx(8 * best.difference.p) == pytest.approx(8 * 2 / 2**7)
    assert found.findings[-1].verdict == "can't tell"
    assert "would show 2)" in found.findings[-1].text


def test_clusters_are_paired_as_a_whole() -> None:
    first = [Row("greedy", str(i), False, "x", cluster=str(i // 10)) for i in range(40)]
    second = [Row("beam", r.id, int(r.id) >= 10, "x", cluster=r.cluster) for r in first]
    (beam,) = judged(evaluation(first, second)).differences
    assert beam.difference.n == 40
    assert beam.p == pytest.approx(2 / 2**3)  # three of four clusters differ, all to one side
    apart = [replace(r, cluster="") for r in (*first, *second)]
    assert judged(evaluation(apart)).differences[0].verdict == "yes"


@pytest.mark.parametrize(
    ("both", "outer", "inner", "verdict"),
    [
        ((0.95, 900), (0.60, 300), (0.70, 300), "yes"),
        ((0.60, 900), (0.60, 300), (0.90, 300), "no"),
        ((0.72, 900), (0.60, 300), (0.70, 300), "can't tell"),
    ],
)
def test_strategies_that_lose_together(both, outer, inner, verdict: str) -> None:
    found = finding(
        "Is majority(n=4, of=astar(k=4)) better",
        rows("majority(n=4, of=astar(k=4))", *both),
        rows("majority(n=4)", *outer),
        rows("astar(k=4)", *inner),
    )
    assert found.verdict == verdict
    assert ("Warning: astar(k=4) alone is more accurate." in found.text) == (verdict == "no")
    assert found.text.count("points on 200 problems") == 2


def test_twice_the_tokens_for_the_same_answers_lose() -> None:
    alone = rows("astar(k=4)", 0.7, 300, 2000)
    both = [replace(r, strategy="majority(n=4, of=astar(k=4))") for r in alone]
    both = [replace(r, usage=Usage(1, 10, 10, 900 + i % 5)) for i, r in enumerate(both)]
    found = finding("Is majority", both, alone)
    assert found.verdict == "no"
    assert "as accurate, with fewer tokens" in found.text


def test_strategies_without_another_within_are_not_asked_about() -> None:
    asked = findings(evaluation(rows("majority(n=4)", 0.5, 9), rows("majority(n=8)", 0.6, 9)))
    assert not any("parts alone" in f.question for f in asked)
