"""Procedures: the steps as their words say, by the seed; credit up to the first wrong step."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.evals.tasks.registry import parse_task
from weft.search.strategy import Answer


def followed(text: str, words: str) -> str:
    """What a step makes of a text, by its words alone."""
    words = words.partition(". ")[2]
    if words == "Reverse the text.":
        return "".join(reversed(text))
    if words.startswith("Sort"):
        return "".join(sorted(text))
    if words.startswith("Swap"):
        letters = list(text)
        letters[0], letters[-1] = letters[-1], letters[0]
        return "".join(letters)
    if words.startswith("Write every"):
        return "".join(letter + letter for letter in text)
    if found := re.fullmatch(r"Put (\w) at the (end|beginning)\.", words):
        return text + found[1] if found[2] == "end" else found[1] + text
    if found := re.fullmatch(r"Put (\w) before letter (\d+)\.", words):
        letters = list(text)
        letters.insert(int(found[2]) - 1, found[1])
        return "".join(letters)
    if found := re.fullmatch(r"Replace each (\w) by (\w)\.", words):
        return "".join(found[2] if letter == found[1] else letter for letter in text)
    if found := re.fullmatch(r"Delete letter (\d+)\.", words):
        return "".join(letter for at, letter in enumerate(text, 1) if at != int(found[1]))
    if found := re.fullmatch(r"Delete each (\w)\.", words):
        return "".join(letter for letter in text if letter != found[1])
    found = re.fullmatch(r"Move the first letter to the end, (\d) times\.", words)
    assert found, words
    for _ in range(int(found[1])):
        text = text[1:] + text[0]
    return text


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 9))
def test_the_answer_is_what_the_steps_say(seed: int, steps: int, letters: int) -> None:
    task = parse_task(f"procedures(steps={steps}, letters={letters})")
    for sample in task.samples(2, seed):
        text, states = sample.data["start"], []
        assert len(text) == letters
        for words in sample.data["steps"]:
            text = followed(text, words)
            states.append(text)
        assert states == json.loads(sample.data["answer"])
        assert all(len(state) > 1 for state in states)


def test_credit_is_for_the_steps_before_the_first_wrong_one() -> None:
    task = parse_task("procedures(steps=4)")
    samples = task.samples(3, 7)
    assert samples == task.samples(3, 7)
    sample = samples[0]
    question, right = task.question(sample, 0), json.loads(sample.data["answer"])
    said = [
        (right, 1.0),
        (right[:3], 0.75),
        ([*right[:2], "x", right[3]], 0.5),
        ([*right, "x"], 0.8),
        ({"a": 1}, 0.0),
        ([], 0.0),
    ]
    for value, credit in said:
        text = f"So:\n```json\n{json.dumps(value)}\n```"
        answer = Answer(text, question.answer(text))
        assert task.credit(sample, answer) == pytest.approx(credit)
        assert task.correct(sample, answer) is (credit == 1)
        assert question.check is not None
        assert question.check(text) == pytest.approx(credit)
    assert not task.correct(sample, Answer("", None))
    with pytest.raises(UsageError, match="steps=0 of procedures must be 1 to 100"):
        parse_task("procedures(steps=0)")
