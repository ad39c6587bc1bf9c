"""Tables of strategies by difficulty: what was planted is found, on problems not fitted to."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.search.calibration.kept import Example
from weft.search.calibration.table import SELF, BinRecord, best_picks, fit_table, held_out

PLANTED = {
    # Difficulty: of ten questions, how many each strategy answers rightly.
    0.9: {SELF: 9, "short": 9, "deep": 9},
    0.6: {SELF: 4, "short": 8, "deep": 8},
    0.3: {SELF: 1, "short": 2, "deep": 7},
    0.1: {SELF: 0, "short": 0, "deep": 0},
}
TOKENS = {SELF: 10.0, "short": 40.0, "deep": 200.0}
SINGLES = {"short": 19 / 40, "deep": 24 / 40}


def planted(rounds: int = 4) -> list[Example]:
    """Questions of four difficulties; any two in a row are alike, so that halves are."""
    examples: list[Example] = []
    for (score, right), i, _ in product(PLANTED.items(), range(10), range(rounds)):
        beside = {spec: (i < count, TOKENS[spec]) for spec, count in right.items()}
        examples.append(Example(f"{len(examples)}", score, i < right[SELF], beside))
    return examples


def test_the_planted_table_is_found() -> None:
    # A bin has a quarter of the questions. The probe costs 10 of each.
    table = fit_table(planted(), tokens=10 + (40 + 200) / 4, bins=4)
    assert [table.pick(score) for score in PLANTED] == [SELF, "short", "deep", SELF]
    less = fit_table(planted(), tokens=10 + 2 * 40 / 4, bins=4)
    assert [less.pick(score) for score in PLANTED] == [SELF, "short", "short", SELF]
    nothing = fit_table(planted(), tokens=5, bins=4)
    assert set(nothing.picks) == {SELF}


def test_on_the_other_half_it_beats_each_strategy_at_its_tokens() -> None:
    right, tokens = held_out(planted(), tokens=70, bins=4)
    assert (right, tokens) == (pytest.approx((9 + 8 + 7 + 0) / 40), pytest.approx(70))
    assert right == pytest.approx(SINGLES["deep"])  # for 70 tokens instead of 200
    right, tokens = held_out(planted(), tokens=TOKENS["short"], bins=4)
    assert tokens <= TOKENS["short"]
    assert right == pytest.approx((9 + 8 + 2) / 40)
    assert right >= SINGLES["short"]


def test_a_half_is_not_measured_on_itself() -> None:
    """Outcomes that are chance in each half promise much, and come to half of it."""
    examples = [
        # In one half the first strategy is always right, in the other half the second.
        Example(f"{i}", 0.5, False, {SELF: (False, 1.0), "a": (i % 2 == 0, 1.0),
                                     "b": (i % 2 == 1, 1.0)})
        for i in range(40)
    ]  # fmt: skip
    assert held_out(examples, tokens=10)[0] == 0.0


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 15),
)
def test_picks_are_the_best_of_all_combinations(
    bins: list[list[tuple[int, int]]], tokens: int
) -> None:
    priced = [
        [BinRecord(SELF, 0.0, 0.0)]
        + [BinRecord(f"{i}", right, cost) for i, (right, cost) in enumerate(b)]
        for b in bins
    ]
    shares = [1.0] * len(bins)
    combinations = [c for c in product(*priced) if sum(one.tokens for one in c) <= tokens]
    best = max(combinations, key=lambda c: (sum(p.right for p in c), -sum(p.tokens for p in c)))
    picked = [
        next(p for p in prices if p.strategy == pick)
        for prices, pick in zip(priced, best_picks(priced, shares, tokens), strict=True)
    ]
    assert sum(p.right for p in picked) == sum(p.right for p in best)
    assert sum(p.tokens for p in picked) == sum(p.tokens for p in best)


def test_bins_are_of_equal_numbers_and_part_no_equal_scores() -> None:
    examples = [Example(f"{i}", s, True, {SELF: (True, 1.0)}) for i, s in enumerate([1] * 6 + [2])]
    assert fit_table(examples, 10).edges == ()
    examples = [Example(f"{i}", i, True, {SELF: (True, 1.0)}) for i in range(10)]
    assert fit_table(examples, 10).edges == (2, 4, 6, 8)


def test_a_table_needs_examples() -> None:
    for examples in ([], [Example("p", 0.5, True)]):
        with pytest.raises(UsageError, match="the probe's outcome"):
            fit_table(examples, 10)
