from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.errors import ConfigError, UnknownName, UsageError
from weft.evals.tasks.jsonl import JsonlTask, number
from weft.evals.tasks.registry import parse_task
from weft.search.strategy import Answer


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    return written(
        tmp_path / "sums.jsonl",
        {"question": "2 + 2?", "answer": 4},
        {"question": "600 + 600?", "answer": "1,200", "id": "big"},
        {"question": "0.5 + 0.5?", "answer": "1.0"},
    )


def test_numbers_are_compared_as_numbers(sums: Path) -> None:
    task = JsonlTask(str(sums))
    first, big, last = task.samples(None, 0)
    assert [first.id, big.id, last.id] == ["1", "big", "3"]
    q = task.question(big, 5)
    assert q.prompt.messages[0].content == "600 + 600?"
    value = q.answer("600 and 600 make 1200.00.")
    assert value == "1200"
    assert task.correct(big, Answer("", value))
    assert not task.correct(first, Answer("", value))
    assert not task.correct(first, Answer("", None))
    assert task.correct(last, Answer("", q.answer("so it is 1")))


def test_thinking_is_not_the_answer(sums: Path) -> None:
    q = JsonlTask(str(sums)).question(JsonlTask(str(sums)).samples(1, 0)[0], 0)
    assert q.answer("<think>3?</think> 4") == "4"
    assert q.answer("<think>4") is None


def test_exact_answers_are_the_last_line(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", {"q": "Capital of France?", "a": "Paris"})
    task = parse_task(f"jsonl(path='{path}', question=q, answer=a, system='Be brief.')")
    assert isinstance(task, JsonlTask)
    assert not task.numeric
    sample = task.samples(None, 0)[0]
    q = task.question(sample, 0)
    assert [m.role for m in q.prompt.messages] == ["system", "user"]
    assert q.answer("Let me see.\n Paris \n") == "Paris"
    assert not q.complete("Paris")
    assert task.correct(sample, Answer("", "Paris"))
    assert not task.correct(sample, Answer("", "paris"))


def test_a_pattern_finds_the_answer(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", {"question": "x?", "answer": "b"})
    task = JsonlTask(str(path), pattern=r"Answer: (\w)")
    q = task.question(task.samples(1, 0)[0], 0)
    assert q.answer("Answer: a, no. Answer: b") == "b"
    assert q.answer("b") is None
    assert q.complete("Answer: b")


def test_the_fingerprint_follows_the_data(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", {"question": "x?", "answer": "b"})
    before = JsonlTask(str(path)).fingerprint
    assert JsonlTask(str(path)).fingerprint == before
    assert JsonlTask(str(path), system="Hm.").fingerprint != before
    written(path, {"question": "y?", "answer": "b"})
    assert JsonlTask(str(path)).fingerprint != before


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "holds no samples"),
        ('{"question": "a", "answer": "b"}\n{"question": ', ":2: not JSON"),
        ("[1]", ":1: must be a JSON object"),
        (
            '{"question": "a"}',
            ":1: field 'answer' must be a text or a number; the line has question",
        ),
        ('{"question": "a", "answer": "1", "id": 7}\n' * 2, ":2: id '7' is there twice"),
    ],
)
def test_a_bad_file_is_named_with_line_and_field(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(lines)
    with pytest.raises(ConfigError) as error:
        JsonlTask(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_parameters(tmp_path: Path, sums: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read path=.*: No such file"):
        parse_task(f"jsonl(path='{tmp_path / 'none.jsonl'}')")
    with pytest.raises(UsageError, match="task jsonl needs path"):
        parse_task("jsonl")
    with pytest.raises(UnknownName, match="parameter of jsonl 'systm'; did you mean system"):
        parse_task("jsonl(path=x, systm=y)")
    with pytest.raises(UsageError, match="match=fuzzy of jsonl must be one of"):
        parse_task(f"jsonl(path='{sums}', match=fuzzy)")
    with pytest.raises(UsageError, match="must be a whole number"):
        parse_task(f"jsonl(path='{sums}', max_tokens=many)")
    with pytest.raises(ConfigError, match="no regular expression"):
        JsonlTask(str(sums), pattern="(")


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("-3.50", "-3.5"), ("1,000,000", "1000000"), ("3 of 4", "4"), ("0.0", "0")],
)
def test_number(text: str, value: str | None) -> None:
    assert number(text) == value
