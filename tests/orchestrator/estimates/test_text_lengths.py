"""How long prompts are of which only the text is known."""

import json
import random

import pytest

from weft.orchestrator.estimates.text_lengths import TextLengths, TextSize


def test_before_a_model_is_known() -> None:
    assert TextLengths().tokens("m", TextSize(1, 400)) == 100
    assert TextLengths().tokens("m", TextSize(1, 0)) == 1


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("template", [0, 5, 20])
def test_one_prompt_teaches_most_and_a_few_all(ratio: float, template: int) -> None:
    lengths, chance = TextLengths(), random.Random(1)

    def true(turns: int, size: int) -> int:
        return int(size * ratio + template * turns + 1)

    lengths.learn("m", TextSize(1, 2000), true(1, 2000))
    assert lengths.tokens("m", TextSize(1, 3000)) == pytest.approx(true(1, 3000), rel=0.1)
    for _ in range(20):
        turns, size = chance.randrange(1, 6), chance.randrange(20, 9000)
        lengths.learn("m", TextSize(turns, size), true(turns, size))
    for turns, size in ((1, 100), (3, 1000), (5, 20_000)):
        assert lengths.tokens("m", TextSize(turns, size)) == pytest.approx(
            true(turns, size), rel=0.2, abs=6
        )


def test_short_prompts_teach_little_of_long_ones() -> None:
    lengths = TextLengths()
    for _ in range(20):
        lengths.learn("m", TextSize(1, 7), 9)  # nearly all of them the template's
    assert lengths.tokens("m", TextSize(1, 7)) in (8, 9, 10)
    assert lengths.tokens("m", TextSize(1, 10_000)) < 5000


def test_texts_of_another_kind_are_learned_anew() -> None:
    lengths = TextLengths()
    for _ in range(200):
        lengths.learn("m", TextSize(1, 4000), 1000)
    for _ in range(100):
        lengths.learn("m", TextSize(1, 4000), 3000)
    assert lengths.tokens("m", TextSize(1, 4000)) == pytest.approx(3000, rel=0.1)
    assert lengths.tokens("other", TextSize(1, 4000)) == 1000


def test_texts_that_vary_hardly_move_what_a_token_has() -> None:
    lengths, chance, seen = TextLengths(), random.Random(1), list[float]()
    for _ in range(300):
        turns, size = chance.randrange(1, 20), chance.randrange(200, 20_000)
        tokens = int(size * chance.gauss(0.28, 0.03) + 5 * turns)
        lengths.learn("m", TextSize(turns, size), tokens)
        seen.append(lengths.token_bytes("m"))
    assert max(seen[5:]) < 1.2 * min(seen[5:])
    assert seen[-1] == pytest.approx(1 / 0.28, rel=0.05)


def test_parts_that_are_no_text_teach_nothing_of_text_and_what_was_learned_is_kept() -> None:
    lengths = TextLengths()
    assert lengths.tokens("m", TextSize(1, 400, media=2)) == 100 + 2 * 1024
    lengths.learn("m", TextSize(1, 400), 200)
    text = lengths.tokens("m", TextSize(1, 400))
    for _ in range(10):
        lengths.learn("m", TextSize(1, 400, media=2, known=5000), 5000 + 200 + 2 * 300)
    assert lengths.tokens("m", TextSize(1, 400)) == text
    after = TextLengths()
    after.load(json.loads(json.dumps(lengths.dump())))
    for size in (TextSize(3, 4000), TextSize(2, 40, media=1, known=70)):
        assert after.tokens("m", size) == lengths.tokens("m", size)
    assert 360 < after.tokens("m", TextSize(2, 40, media=1, known=70)) < 410
    after.learn("m", TextSize(1, 4000), 1500)
    lengths.learn("m", TextSize(1, 4000), 1500)
    assert after.dump() == lengths.dump()
