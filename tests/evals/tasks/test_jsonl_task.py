from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from weft.errors import ConfigError, UnknownName, UsageError
from weft.evals.tasks.files.jsonl import JsonlTask
from weft.evals.tasks.registry import parse_task
from weft.search.readers.number import number
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
    task = JsonlTask(sums)
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


def test_any_of_several_answers_is_right(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    task = JsonlTask(written(path, {"question": "A prime below 4?", "answer": [2, "3.0"]}))
    (sample,) = task.samples(None, 0)
    found = task.question(sample, 0).answer
    assert [task.correct(sample, Answer("", found(f"{n}"))) for n in (2, 3, 4)] == [1, 1, 0]
    assert task.fingerprint != JsonlTask(written(path, {"question": "x", "answer": 2})).fingerprint


@pytest.mark.parametrize(
    ("right", "said", "judged"),
    [
        ("B", "ANSWER: $B$", True),
        ("18", r"\boxed{18} ... 36", True),
        ("1234", "1{,}234", True),
        ("0.5", ".5", True),
        ("2", "1/2", False),
        ("3", "2^3", False),
        ("yes", "**Yes**, since 3 > 2.", True),
        ("Paris", "The answer is **Paris**.", True),
    ],
)
def test_the_answer_says_how_to_read(tmp_path: Path, right: str, said: str, judged: bool) -> None:
    task = JsonlTask(written(tmp_path / "q.jsonl", {"question": "x?", "answer": right}))
    (sample,) = task.samples(None, 0)
    assert task.correct(sample, Answer("", task.question(sample, 0).answer(said))) is judged


def test_an_answer_that_was_cut_off_is_none(sums: Path) -> None:
    cut = JsonlTask(sums).question(JsonlTask(sums).samples(1, 0)[0], 0).answer_cut
    assert cut is not None
    assert cut("it is 4") is None


def test_thinking_is_not_the_answer(sums: Path) -> None:
    q = JsonlTask(sums).question(JsonlTask(sums).samples(1, 0)[0], 0)
    assert q.answer("<think>3?</think> 4") == "4"
    assert q.answer("<think>4") is None


def test_a_newline_can_be_written_in_a_spec(sums: Path) -> None:
    task = parse_task(rf"jsonl(path='{sums}', steps='\n\n')")
    assert task.question(task.samples(1, 0)[0], 0).steps == "\n\n"


def test_exact_answers_are_the_last_line(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", {"q": "Capital of France?", "a": "Paris"})
    task = parse_task(f"jsonl(path='{path}', question=q, answer=a, system='Be brief.')")
    assert isinstance(task, JsonlTask)
    assert task.reader.name == "text"
    sample = task.samples(None, 0)[0]
    q = task.question(sample, 0)
    assert [m.role for m in q.prompt.messages] == ["system", "user"]
    assert q.answer("Let me see.\n Paris \n") == "Paris"
    assert not q.complete("Paris")
    assert task.correct(sample, Answer("", "Paris"))
    assert task.correct(sample, Answer("", "paris"))
    exact = parse_task(f"jsonl(path='{path}', question=q, answer=a, match=exact)")
    assert not exact.correct(sample, Answer("", "paris"))


def test_a_pattern_finds_the_answer(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", {"question": "x?", "answer": "b"})
    task = JsonlTask(path, pattern=r"Answer: (\w)")
    q = task.question(task.samples(1, 0)[0], 0)
    assert q.answer("Answer: a, no. Answer: b") == "b"
    assert q.answer("b") is None
    assert q.complete("Answer: b")


def test_the_fingerprint_follows_the_data(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", {"question": "x?", "answer": "b"})
    before = JsonlTask(path).fingerprint
    assert JsonlTask(path).fingerprint == before
    assert JsonlTask(path, system="Hm.").fingerprint != before
    written(path, {"question": "y?", "answer": "b"})
    assert JsonlTask(path).fingerprint != before


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
        JsonlTask(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_parameters(tmp_path: Path, sums: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read .*: No such file"):
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
        JsonlTask(sums, pattern="(")


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("-3.50", "-3.5"), ("1,000,000", "1000000"), ("3 of 4", "4"), ("0.0", "0")],
)
def test_number(text: str, value: str | None) -> None:
    assert number(text) == value


def read(path: Path, *lines: str) -> JsonlTask:
    path.write_bytes("\n".join(lines).encode())
    return JsonlTask(path)


def asked(task: JsonlTask) -> list[str]:
    return [s.data["question"] for s in task.samples(None, 0)]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\u00a0"])
def test_only_a_newline_ends_a_line(tmp_path: Path, mark: str) -> None:
    row = json.dumps({"question": f"a{mark}b?", "answer": 5}, ensure_ascii=False)
    row = row.replace("\\u000b", mark).replace("\\f", mark).replace("\\u001c", mark)
    if mark < " ":  # JSON has these only escaped
        row = json.dumps({"question": f"a{mark}b?", "answer": 5})
    task = read(tmp_path / "q.jsonl", row, '{"question": "c?", "answer": 6}')
    assert asked(task) == [f"a{mark}b?", "c?"]


def test_marks_and_line_ends_of_other_systems(tmp_path: Path) -> None:
    task = read(
        tmp_path / "q.jsonl",
        '\ufeff{"question": "a?", "answer": 5}\r',
        "\r",
        '{"question": "b?", "answer": 6}\r',
        "",
    )
    assert asked(task) == ["a?", "b?"]
    assert [s.id for s in task.samples(None, 0)] == ["1", "3"]


def test_ids_that_are_null_or_missing(tmp_path: Path) -> None:
    rows = ['{"id": null, "question": "a?", "answer": 1}'] * 2
    assert [s.id for s in read(tmp_path / "q.jsonl", *rows).samples(None, 0)] == ["1", "2"]
    rows = ['{"id": 2, "question": "a?", "answer": 1}', '{"question": "b?", "answer": 2}']
    assert [s.id for s in read(tmp_path / "q.jsonl", *rows).samples(None, 0)] == ["2", "line 2"]
    rows.append('{"id": "line 2", "question": "c?", "answer": 3}')
    ids = [s.id for s in read(tmp_path / "q.jsonl", *rows).samples(None, 0)]
    assert len(set(ids)) == 3
    assert ids[::2] == ["2", "line 2"]


def test_files_with_byte_order_marks_may_be_joined(tmp_path: Path) -> None:
    row = '\ufeff{"question": "a?", "answer": 5}'
    assert asked(read(tmp_path / "q.jsonl", row, row, "\ufeff")) == ["a?", "a?"]


@pytest.mark.parametrize(
    ("written", "said", "right"),
    [
        ("0.00001", "so 0.00001", True),
        ("0.00001", "so 1e-05", True),
        ("1e22", "it is 10,000,000,000,000,000,000,000", True),
        ("1e22", "it is 1", False),
        ("12345678901234567890123456789012345", "12345678901234567890123456789012345", True),
        ("12345678901234567890123456789012345", "12345678901234567890123456789012346", False),
        ("1E400", "1e400", True),
        ("-0.0", "0", True),
        ("5e2", "500", True),
        ("7", "7 e3 is a move", False),
        ("7", "option e7", True),
    ],
)
def test_numbers_are_kept_as_written(tmp_path: Path, written: str, said: str, right: bool) -> None:
    task = read(tmp_path / "q.jsonl", f'{{"question": "x?", "answer": {written}}}')
    (sample,) = task.samples(None, 0)
    assert sample.data["answer"] == written
    value = task.question(sample, 0).answer(said)
    assert task.correct(sample, Answer("", value)) is right


def test_truth_values_are_as_json_has_them(tmp_path: Path) -> None:
    task = read(tmp_path / "q.jsonl", '{"question": "x?", "answer": true}')
    (sample,) = task.samples(None, 0)
    assert task.correct(sample, Answer("", task.question(sample, 0).answer("true")))


def test_what_does_not_change_the_questions_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    one = read(tmp_path / "a.jsonl", '{"question": "x?", "answer": 5}')
    same = read(tmp_path / "b.jsonl", '{"answer":5,"question":"x?","source":"book"}\r', "")
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != JsonlTask(tmp_path / "a.jsonl", match="exact").fingerprint
    assert one.fingerprint != JsonlTask(tmp_path / "a.jsonl", pattern="x").fingerprint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "x?", "answer": NaN}', ":1: not JSON: JSON has no NaN"),
        ('{"question": "x?", "answer": -Infinity}', ":1: not JSON: JSON has no -Infinity"),
        ('{"question": "x?", "answer": null}', "field 'answer' must be a text or a number"),
        ('{"question": "x?", "answer": []}', "field 'answer' must be a text or a number"),
        ('{"question": "x?", "answer": [["5"]]}', "field 'answer' must be a text or a number"),
        ('{"question": "x?", "answer": ["5", ""]}', "the answer of '1' is empty"),
        ('{"question": "x?", "answer": ""}', "the answer of '1' is empty"),
        ('{"question": "\\ud800", "answer": "5"}', "field 'question' holds half a character"),
        ('{"id": [1], "question": "x?", "answer": "5"}', "field 'id' must be a text or a number"),
        ("[" * 100_000, ":1: "),
    ],
)
def test_lines_that_can_not_be_used(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path / "q.jsonl", line)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(b'{"question": "a?", "answer": 5}\n{"question": "\xff", "answer": 5}\n')
    with pytest.raises(ConfigError, match=r"q\.jsonl:2: is not UTF-8"):
        JsonlTask(path)


def test_lines_may_name_what_they_have_in_common(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": 1, "text": t} for t in ("a", "a", 3, None)]
    path = written(tmp_path / "q.jsonl", *rows)
    task = JsonlTask(path, cluster="text")
    assert [s.cluster for s in task.samples(None, 0)] == ["a", "a", "3", ""]
    assert task.fingerprint == JsonlTask(path).fingerprint
    with pytest.raises(ConfigError, match="no line has a text or a number as 'book'"):
        JsonlTask(path, cluster="book")


def test_choices_stand_below_their_question(tmp_path: Path) -> None:
    rows = [
        {"question": "Au?", "options": ["iron", "gold"], "answer": "gold"},
        {"question": "Pb?", "options": ["lead", "zinc", 7], "answer": "(a)"},
        {"question": "7?", "options": [5, 6, 7], "answer": 7},
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = JsonlTask(path, choices="options")
    samples = task.samples(None, 0)
    assert [s.data["answer"] for s in samples] == ["B", "A", "C"]
    question = task.question(samples[1], 0)
    assert question.prompt.text == "Pb?\n\nA. lead\nB. zinc\nC. 7"
    assert question.choices is not None
    assert question.choices.options == ("lead", "zinc", "7")
    turned = question.choices.ask(["7", "lead", "zinc"])
    assert turned.prompt.text == "Pb?\n\nA. 7\nB. lead\nC. zinc"
    assert task.correct(samples[1], Answer("The answer is A.", question.answer("The answer is A.")))
    assert task.fingerprint != JsonlTask(path).fingerprint


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"options": ["iron"]}, "must be a list of 2 to 10 texts"),
        ({"options": "iron, gold"}, "must be a list of 2 to 10 texts"),
        ({"options": ["iron", None]}, "must be a list of 2 to 10 texts"),
        ({"options": ["iron", "zinc"]}, "'gold' is neither a letter from A to B nor one of"),
    ],
)
def test_choices_that_are_none(tmp_path: Path, row: dict[str, object], says: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "Au?", "answer": "gold", **row}) + "\n")
    with pytest.raises(ConfigError, match=f"q.jsonl:1: .*{says}"):
        JsonlTask(path, choices="options")
