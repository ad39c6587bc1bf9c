from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.evals.imperfect_checks import Checked, optimal_n, utility

EASY, HARD = Checked(0.9, 1.0, 0.05), Checked(0.02, 1.0, 0.2)


def test_more_samples_do_harm_where_wrong_answers_pass() -> None:
    found = [utility([EASY, HARD], n) for n in (1, 2, 3, 5)]
    assert [round(u, 3) for u in found] == [0.359, 0.333, 0.283, 0.208]
    assert optimal_n([EASY, HARD]) == 1
    assert utility([EASY, HARD], 0) == 0


def test_no_number_of_samples_mends_what_passed() -> None:
    assert HARD.precision == pytest.approx(0.02 / 0.216)
    assert HARD.utility(math.inf, 1) == pytest.approx(HARD.precision - (1 - HARD.precision))
    assert Checked(0.0, 1.0, 0.0).precision == 0


def test_by_simulation() -> None:
    rng = random.Random(0)
    problem, tries, total = Checked(0.4, 0.8, 0.3), 3, 0
    for _ in range(20_000):
        for _ in range(tries):
            right = rng.random() < problem.right
            if rng.random() < (problem.passes_right if right else problem.passes_wrong):
                total += 1 if right else -1
                break
    assert total / 20_000 == pytest.approx(problem.utility(tries, 1), abs=0.02)


def test_when_more_is_always_better_and_when_nothing_is() -> None:
    assert optimal_n([Checked(0.3), Checked(0.01)]) == math.inf
    assert optimal_n([Checked(1e-7)]) == math.inf
    assert optimal_n([HARD]) == 0
    assert optimal_n([EASY, HARD], harm=0) == math.inf
    assert optimal_n([Checked(0.0)]) == 0
    # A hard problem of which more right answers pass than wrong ones is worth all samples.
    assert optimal_n([EASY, Checked(0.02, 1.0, 0.01)]) == math.inf
    assert optimal_n([Checked(1.0)]) == math.inf or utility([Checked(1.0)], 1) == 1


probabilities = st.floats(0, 1).map(lambda p: round(p, 2))
some = st.lists(
    st.builds(Checked, probabilities, probabilities, probabilities), min_size=1, max_size=4
)


@given(some, st.floats(0, 3))
def test_no_other_number_is_better(problems: list[Checked], harm: float) -> None:
    best = utility(problems, optimal_n(problems, harm), harm)
    for n in (0, 1, 2, 3, 5, 9, 40, 1000, math.inf):
        assert best >= utility(problems, n, harm) - 1e-9


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match=r"passes_wrong=1\.2 must be from 0 to 1"):
        Checked(0.5, 1.0, 1.2)
    with pytest.raises(UsageError, match="at least one problem"):
        optimal_n([])
    with pytest.raises(UsageError, match="at least one problem"):
        utility([], 3)
