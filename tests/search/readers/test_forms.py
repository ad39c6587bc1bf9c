"""The forms in which models write answers, each with the answer that is to be read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.search.readers import parse_reader
from weft.search.readers.writing.amount import amount_at, written

FORMS = [
    json.loads(line)
    for line in (Path(__file__).parent / "forms.jsonl").read_text(encoding="utf-8").splitlines()
]
READERS = {spec: parse_reader(spec) for spec in sorted({form["reader"] for form in FORMS})}


KINDS = sorted({form["kind"] for form in FORMS})


@pytest.mark.parametrize("kind", KINDS)
def test_forms_are_read(kind: str) -> None:
    forms = [form for form in FORMS if form["kind"] == kind]
    found = {form["text"]: READERS[form["reader"]](form["text"]) for form in forms}
    assert found == {form["text"]: form["answer"] for form in forms}


def test_there_are_many_forms_of_many_kinds() -> None:
    assert len(FORMS) >= 200
    assert len(KINDS) >= 20


def test_an_answer_is_read_again_as_itself() -> None:
    for form in FORMS:
        if form["answer"] is not None:
            reader = READERS[form["reader"]]
            again = reader.alone(form["answer"])
            assert again is not None, form
            assert reader.agree(again, form["answer"]), form


@given(st.fractions(max_denominator=10**6))
def test_an_amount_is_written_in_one_way(value: Any) -> None:
    text = written(value)
    found = amount_at(text, 0)
    assert found is not None
    assert found.value == value
    assert found.end == len(text)
    assert READERS["number"](f"{value.numerator}/{value.denominator}") == text


@given(st.text("0123456789.,-+*/^(){}[]\\fracsqt $%:=xX\nABanswer is<>|_#", max_size=40))
def test_nothing_makes_a_reader_fail(text: str) -> None:
    for reader in READERS.values():
        reader(text)
        reader.cut(text)


@pytest.mark.parametrize(
    "piece",
    ["(", "2^", "so ", "the answer is ", "\\frac{", "\n", "{", "1,", "A, ", "\\boxed{", "*"],
)
def test_long_texts_take_no_longer_than_they_are_long(piece: str) -> None:
    for reader in READERS.values():
        reader(piece * (20_000 // len(piece)))
