"""How long prompts are of which only the text is known."""

import random

import pytest

from weft.orchestrator.estimates.text_lengths import TextLengths


def test_before_a_model_is_known() -> None:
    assert TextLengths().tokens("m", 1, 400) == 100
    assert TextLengths().tokens("m", 1, 0) == 1


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("template", [0, 5, 20])
def test_one_prompt_teaches_most_and_a_few_all(ratio: float, template: int) -> None:
    lengths, chance = TextLengths(), random.Random(1)

    def true(turns: int, size: int) -> int:
        return int(size * ratio + template * turns + 1)

    lengths.learn("m", 1, 2000, true(1, 2000))
    assert lengths.tokens("m", 1, 3000) == pytest.approx(true(1, 3000), rel=0.1)
    for _ in range(20):
        turns, size = chance.randrange(1, 6), chance.randrange(20, 9000)
        lengths.learn("m", turns, size, true(turns, size))
    for turns, size in ((1, 100), (3, 1000), (5, 20_000)):
        assert lengths.tokens("m", turns, size) == pytest.approx(true(turns, size), rel=0.2, abs=6)


def test_short_prompts_teach_little_of_long_ones() -> None:
    lengths = TextLengths()
    for _ in range(20):
        lengths.learn("m", 1, 7, 9)  # nearly all of them the template's
    assert lengths.tokens("m", 1, 7) in (8, 9, 10)
    assert lengths.tokens("m", 1, 10_000) < 5000


def test_texts_of_another_kind_are_learned_anew() -> None:
    lengths = TextLengths()
    for _ in range(200):
        lengths.learn("m", 1, 4000, 1000)
    for _ in range(20):
        lengths.learn("m", 1, 4000, 3000)
    assert lengths.tokens("m", 1, 4000) == pytest.approx(3000, rel=0.1)
    assert lengths.tokens("other", 1, 4000) == 1000
