"""Tasks that are made by the seed: always one right answer, and the credit that others get."""

from __future__ import annotations

import re

import pytest

from weft.errors import UsageError
from weft.evals.tasks.made.compositional import CompositionalTask
from weft.evals.tasks.made.dataset_search import DatasetSearchTask
from weft.search.strategy import Answer


def solved(lists: str, task: str) -> int:
    """The answer, by rewriting what is asked for until a number is left."""
    lives = dict(re.findall(r"(\w+) lives in (\w+)", lists))
    friend = dict(re.findall(r"(\w+) lives in \w+; the friend is (\w+)\.", lists))
    price = dict(re.findall(r"to (\w+) costs (\d+)", lists))
    text = task
    while (new := re.sub(r"the friend of ([A-Z]\w+)", lambda m: friend[m[1]], text)) != text:
        text = new
    text = re.sub(r"to where (\w+) lives", lambda m: f"to {lives[m[1]]}", text)
    text = re.sub(r"the price of a ticket to (\w+)", lambda m: price[m[1]], text)
    if found := re.fullmatch(r"(\d+) if (\d+) is more than (-?\d+), and otherwise (\d+)", text):
        one, test, limit, other = map(int, found.groups())
        return one if test > limit else other
    for pattern, value in {
        r"(\d+), plus (\d+)": lambda a, b: a + b,
        r"the sum of (\d+) and (\d+)": lambda a, b: a + b,
        r"the larger of (\d+) and (\d+)": max,
        r"the smaller of (\d+) and (\d+)": min,
        r"twice (\d+)": lambda a: 2 * a,
        r"(\d+)": lambda a: a,
    }.items():
        if found := re.fullmatch(pattern, text):
            return value(*map(int, found.groups()))
    raise AssertionError(text)


def test_parts_put_together_have_the_answer_that_follows_from_the_lists() -> None:
    task = CompositionalTask(steps=4)
    samples = task.samples(60, 3)
    assert samples == task.samples(60, 3) != task.samples(60, 4)
    assert [s.data["kind"] for s in samples[:4]] == ["atomic", "chain", "branch", "condition"]
    for sample in samples:
        right = solved(sample.data["lists"], sample.data["task"])
        question = task.question(sample, 0)
        assert task.correct(sample, Answer("", question.answer(f"Answer: {right}")))
        assert not task.correct(sample, Answer("", str(right + 1)))
        assert not task.correct(sample, Answer("", None))
    assert {s.data["kind"] for s in CompositionalTask("branch").samples(5, 0)} == {"branch"}
    with pytest.raises(UsageError, match="steps=1 of compositional must be from 2 to 20"):
        CompositionalTask(steps=1)


def test_one_dataset_alone_meets_the_demand() -> None:
    task = DatasetSearchTask(datasets=9, demands=3)
    samples = task.samples(50, 1)
    assert samples == task.samples(50, 1)
    for sample in samples:
        cards, demand = sample.data["cards"], sample.data["demand"]
        met = {
            name: sum(card[field] == value for field, value in demand.items())
            for name, card in cards.items()
        }
        right = sample.data["answer"]
        assert [name for name, count in met.items() if count == len(demand)] == [right]
        assert sum(count == len(demand) - 1 for count in met.values()) >= 4, "near misses"
        question = task.question(sample, 0)
        assert all(value in question.prompt.messages[0].content for value in demand.values())
        for name, count in met.items():
            answer = Answer("", question.answer(f"I looked at all.\nAnswer: {name}"))
            assert answer.value == name
            assert task.correct(sample, answer) is (name == right)
            assert task.credit(sample, answer) == pytest.approx(count / len(demand))
    assert task.credit(samples[0], Answer("", None)) == 0
    with pytest.raises(UsageError, match="datasets=1 of dataset_search must be from 2 to 50"):
        DatasetSearchTask(datasets=1)
