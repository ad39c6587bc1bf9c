"""What tasks from files have in common: tables, templates, choices, examples, random parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weft.errors import ConfigError, UsageError
from weft.evals.tasks.files.csv_file import CsvTask
from weft.evals.tasks.files.jsonl import JsonlTask
from weft.evals.tasks.registry import parse_task
from weft.parts.signature import parameters
from weft.sandbox import check_sandbox
from weft.search.strategy import Answer


def lines(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(path: Path, count: int) -> Path:
    return lines(path, *({"question": f"{n} + 1?", "answer": n + 1} for n in range(count)))


@pytest.mark.parametrize("part", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_by_its_columns(tmp_path: Path, part: str, end: str) -> None:
    rows = [
        ["id", "question", "answer"],
        ["a", f'"say{part} ""2""{end}please"', "2"],
        ["b", "3", "3"],
    ]
    path = tmp_path / "q.csv"
    text = end.join(part.join(row) for row in rows)
    path.write_bytes(b"\xef\xbb\xbf" + f"{text}{end}{end}".encode())
    task = parse_task(str(path))
    assert isinstance(task, CsvTask)
    first, second = task.samples(None, 0)
    assert (first.id, first.data["question"]) == ("a", f'say{part} "2"{end}please')
    assert task.correct(second, Answer("", task.question(second, 0).answer("It is 3.")))


BROKEN: list[tuple[bytes, str]] = [
    (b"", "holds no samples"),
    (b"question,answer\n", "holds no samples"),
    (b"question,answer\na,1\nb\n", ":3: has 1 cells, and the first row has 2"),
    (b"question,answer\na,1,2\n", ":2: has 3 cells"),
    (b"question,right\na,1\n", ":2: field 'answer' must be a text or a number; the line has"),
    (b'question,answer\na,1\n"b,2\n', ":3: not CSV: unexpected end of data"),
    (b"question,question\na,1\n", ":1: column 'question' is there twice"),
    (b"question,answer\na,1\ncaf\xe9,2\n", ":3: is not UTF-8; save the file as UTF-8"),
    ("question,answer\na,1\n".encode("utf-16"), ":1: is not UTF-8"),
    (b"id,question,answer\n7,a,1\n7,b,2\n", ":3: id '7' is there twice, first in line 2"),
    (b"question,answer\na,\n", "the answer of '2' is empty"),
]


@pytest.mark.parametrize(("raw", "message"), BROKEN)
def test_a_broken_table_is_named_with_its_line(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as error:
        CsvTask(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_template_asks_with_several_fields(tmp_path: Path) -> None:
    row = {"q": "Who?", "meta": {"year": 1999}, "answer": "me"}
    path = lines(tmp_path / "q.jsonl", row)
    task = parse_task(f"jsonl(path='{path}', template='{{{{{{meta.year}}}}}}\\nQ: {{q}}')")
    (sample,) = task.samples(None, 0)
    assert task.question(sample, 0).prompt.messages[0].content == "{1999}\nQ: Who?"
    with pytest.raises(ConfigError, match=r":1: field 'p' must be a text or a number; the line"):
        JsonlTask(path, template="{p}")
    with pytest.raises(ConfigError, match=r"template '\{' can't be read: .*twice"):
        JsonlTask(path, template="{")


@pytest.mark.parametrize("answer", [1, "B", "b", "two"])
def test_choices_are_lettered(tmp_path: Path, answer: object) -> None:
    row = {"question": "1 + 1?", "options": ["one", "two"], "answer": answer}
    task = JsonlTask(lines(tmp_path / "q.jsonl", row), choices="options")
    (sample,) = task.samples(None, 0)
    question = task.question(sample, 0)
    assert question.prompt.messages[0].content == "1 + 1?\n\nA. one\nB. two"
    assert task.reader.name == "choice"
    assert task.correct(sample, Answer("", question.answer("The answer is (B).")))


def test_choices_of_a_table_are_one_cell(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('question,c,answer\n1?,"[""x"", ""y""]",A\n2?,x | y,y\n')
    task = CsvTask(path, choices="c")
    assert [s.data["answer"] for s in task.samples(None, 0)] == ["A", "B"]
    path.write_text("question,c,answer\n1?,x|y,z\n")
    with pytest.raises(
        ConfigError, match=r":2: the answer 'z' is neither a letter from A to B nor one"
    ):
        CsvTask(path, choices="c")
    path.write_text("question,c,answer\n1?,x,x\n")
    with pytest.raises(ConfigError, match=r":2: field 'c' must be a list of 2 to 10 texts"):
        CsvTask(path, choices="c")


def test_examples_come_before_the_question(tmp_path: Path) -> None:
    path = sums(tmp_path / "q.jsonl", 6)
    task = JsonlTask(path, shots=3, system="Add.")
    for sample in task.samples(None, 0):
        messages = task.question(sample, 1).prompt.messages
        assert messages == task.question(sample, 2).prompt.messages
        assert [m.role for m in messages] == ["system", *["user", "assistant"] * 3, "user"]
        asked = [m.content for m in messages if m.role == "user"]
        assert asked[-1] == sample.data["question"]
        assert len(set(asked)) == 4, "no question is its own example, or one twice"
        assert messages[2].content == str(int(asked[0].split()[0]) + 1)
    assert task.fingerprint != JsonlTask(path, system="Add.").fingerprint
    with pytest.raises(ConfigError, match=r"shots=6 are more examples than .*q.jsonl has"):
        JsonlTask(path, shots=6)


def test_examples_may_have_a_file_and_a_solution(tmp_path: Path) -> None:
    shown = lines(tmp_path / "e.jsonl", {"question": "Hm?", "answer": 3, "why": "1 + 2 = 3"})
    path = sums(tmp_path / "q.jsonl", 1)
    task = parse_task(f"jsonl(path='{path}', shots=1, examples='{shown}', solution=why)")
    contents = [m.content for m in task.question(task.samples(1, 0)[0], 0).prompt.messages]
    assert contents == ["Hm?", "1 + 2 = 3", "0 + 1?"]


def test_tests_judge_programs(tmp_path: Path) -> None:
    try:
        check_sandbox()
    except UsageError as e:
        pytest.skip(str(e))
    rows = [
        {"question": "Write f that adds 1.", "t": ["assert f(1) == 2", "assert f(0) == 1"]},
        {"question": "Write g.", "t": "assert g() == 'g'", "answer": "def g(): return 'g'"},
    ]
    task = JsonlTask(lines(tmp_path / "q.jsonl", *rows), tests="t")
    first, second = task.samples(None, 0)
    assert (task.reader.name, task.slow) == ("code", True)
    for sample, code, right in [
        (first, "def f(x):\n    return x + 1", True),
        (first, "def f(x):\n    return 2", False),
        (first, "exit()", False),
        (second, second.data["answer"], True),
    ]:
        value = task.question(sample, 0).answer(f"```python\n{code}\n```")
        assert task.correct(sample, Answer("", value)) is right
    with pytest.raises(
        ConfigError, match=r":1: field 'tests' must be a text or a number; the line"
    ):
        JsonlTask(tmp_path / "q.jsonl", tests="tests")


def test_a_random_part_depends_on_the_seed(tmp_path: Path) -> None:
    task = JsonlTask(sums(tmp_path / "q.jsonl", 40), shuffle=True)
    ids = [s.id for s in task.samples(5, 1)]
    assert ids == [s.id for s in task.samples(5, 1)]
    assert ids == [s.id for s in task.samples(9, 1)][:5]
    assert ids != [s.id for s in task.samples(5, 2)]
    assert sorted(s.id for s in task.samples(None, 3)) == sorted(map(str, range(1, 41)))


def test_a_table_has_the_parameters_of_all_files() -> None:
    known = {p.name: p.doc for p in parameters(CsvTask)}
    assert known == {p.name: p.doc for p in parameters(JsonlTask)}
    assert all(known.values())
