"""Scorers: partial credit by weft's own, and by one of a user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weft.errors import PartFailed, UnknownName
from weft.evals.tasks.files.jsonl import JsonlTask
from weft.evals.tasks.scorer import parse_scorer
from weft.search.strategy import Answer


@pytest.mark.parametrize(
    ("spec", "answer", "right", "credit"),
    [
        ("f1", "the blue whale", "Blue whale.", 1.0),
        ("f1", "a whale", "blue whale", 2 / 3),
        ("f1", "shark", "blue whale", 0.0),
        ("items", "b, a", "[a, b]", 1.0),
        ("items", "a; c", "a, b", 0.5),
        ("prefix", "a, b, x, d", "a, b, c, d", 0.5),
        ("prefix", "a", "a, b", 0.5),
        ("prefix", "a, b, c", "a, b", 2 / 3),
        ("prefix", "", "a", 0.0),
    ],
)
def test_how_much_of_the_right_answer(spec: str, answer: str, right: str, credit: float) -> None:
    assert parse_scorer(spec)(answer, right) == pytest.approx(credit)


def test_a_task_gives_the_credit_of_the_nearest_right_answer(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "?", "answer": ["blue whale", "orca"]}) + "\n")
    task = JsonlTask(path, scorer="f1")
    (sample,) = task.samples(None, 0)
    assert task.credit(sample, Answer("", "big orca")) == pytest.approx(2 / 3)
    assert task.credit(sample, Answer("", None)) == 0
    assert JsonlTask(path).credit(sample, Answer("", "big orca")) == 0
    assert task.fingerprint != JsonlTask(path).fingerprint
    with pytest.raises(UnknownName, match="items"):
        JsonlTask(path, scorer="item")


def test_a_users_scorer_must_stay_between_0_and_1(tmp_path: Path) -> None:
    file = tmp_path / "wild.py"
    file.write_text(
        "from weft.evals import Scorer, scorer\n\n\n"
        '@scorer("wild")\nclass Wild(Scorer):\n    def credit(self, answer, right):\n'
        "        return len(answer)\n"
    )
    wild = parse_scorer(f"{file}:Wild")
    assert wild("x", "y") == 1
    with pytest.raises(PartFailed, match=r"3\.0, which is not from 0 to 1"):
        wild("xyz", "y")
