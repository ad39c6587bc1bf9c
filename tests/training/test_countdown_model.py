"""The shipped model: its data, its tokenizer, and what its card claims."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

import data
import tokenizer as tokenizers
from weft.evals.tasks.puzzles.countdown import (
    held_out,
    number_sets,
    problems,
    reachable,
    solved,
    steps,
    still_solvable,
)
from weft.evals.tasks.puzzles.countdown_task import CountdownTask

MODEL = Path(__file__).parents[2] / "weft" / "evals" / "models" / "countdown"
ASKED = re.compile(r"\w+ (\d+(?: \d+)*) for (\d+)")


def asked(prompt: str) -> tuple[tuple[int, ...], int]:
    match = ASKED.match(prompt)
    assert match is not None
    return tuple(map(int, match[1].split())), int(match[2])


def problem(prompt: str) -> data.Problem:
    return data.Problem(*asked(prompt))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


@pytest.mark.parametrize("make", [data.solve, data.think, data.verify])
def test_no_evaluation_problems_numbers_are_trained_on(make) -> None:
    rng = random.Random(0)
    trained = {tuple(sorted(asked(make(rng).prompt)[0])) for _ in range(1000)}
    assert len(trained) > 700
    assert not any(held_out(numbers) for numbers in trained)
    assert not trained & set(number_sets(evaluation=True))


def test_the_split_covers_all_sets_and_ignores_order() -> None:
    training, evaluation = set(number_sets(evaluation=False)), set(number_sets(evaluation=True))
    assert len(training | evaluation) == 8855
    assert not training & evaluation
    assert 0.08 < len(evaluation) / 8855 < 0.12
    for numbers in random.Random(0).sample(sorted(evaluation), 20):
        assert all(held_out(order) for order in itertools.permutations(numbers))


def test_evaluations_ask_held_out_problems_only() -> None:
    for sample in CountdownTask().samples(200, seed=5):
        p = CountdownTask.problem(sample)
        assert held_out(p.numbers)
        assert reachable(p.numbers, p.target)
    assert next(problems(1)) == next(problems(1))


@pytest.mark.parametrize("make", [data.solve, data.think])
def test_taught_answers_are_right_unless_their_choices_are_not_learned(make) -> None:
    rng = random.Random(1)
    for _ in range(300):
        example = make(rng)
        followed = all(options for _, options in example.drawn_from)
        if followed:
            assert solved(problem(example.prompt), example.answer)
        else:
            assert not any(options for _, options in example.drawn_from)


def test_verdicts_are_exact_and_balanced() -> None:
    rng = random.Random(2)
    examples = [data.verify(rng) for _ in range(1000)]
    for example in examples:
        steps_so_far = example.prompt.partition("\n")[2]
        right = still_solvable(problem(example.prompt), steps_so_far)
        assert example.answer == ("yes" if right else "no")
    assert 0.4 < sum(e.answer == "yes" for e in examples) / 1000 < 0.6


def test_ways_count_all_solutions() -> None:
    def count(numbers: tuple[int, ...], target: int) -> int:
        if len(numbers) == 1:
            return int(numbers[0] == target)
        return sum(count(s.left, target) for s in steps(numbers))

    for numbers in [(3, 4, 5), (2, 3, 7, 11)]:
        ways = data._ways(numbers)
        assert all(ways[t] == count(numbers, t) for t in range(10, 101, 7))


def test_the_tokenizer_is_the_one_that_training_builds(tokenizer: Tokenizer) -> None:
    assert json.loads(tokenizers.build().to_str()) == json.loads(tokenizer.to_str())


def test_numbers_are_whole_tokens(tokenizer: Tokenizer) -> None:
    for number in range(201):
        for text in (str(number), f" {number}"):
            assert len(tokenizer.encode(text).ids) == 1


@given(st.text())
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    for special in [*tokenizers.SPECIAL, *tokenizers.TAGS]:
        text = text.replace(special, "")
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_the_model_is_as_small_as_the_card_says() -> None:
    config = json.loads((MODEL / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert sum(f.stat().st_size for f in MODEL.iterdir()) < 25e6
    size = (MODEL / "model.safetensors").stat().st_size
    assert 1e6 < size / 4 < 10e6


def test_the_card_gives_the_measured_figures() -> None:
    measured = json.loads((MODEL / "measured.json").read_text())
    card = (MODEL / "README.md").read_text()
    for skill in ("solve", "think"):
        for value in measured[skill].values():
            assert f"{value:.3f}" in card
    for partials in measured["verifier_auc"].values():
        for value in partials.values():
            assert f"{value:.3f}" in card
