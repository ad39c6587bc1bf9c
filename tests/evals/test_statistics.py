from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.evals.statistics import (
    binomial_stderr,
    bootstrap,
    clustered_stderr,
    mcnemar,
    mean_stderr,
    paired,
    pass_at_k,
    quantile,
    wilson,
)


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_correct_sample(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    draws = list(combinations(range(n), k))
    share = sum(any(i < correct for i in draw) for draw in draws) / len(draws)
    assert pass_at_k(n, correct, k) == pytest.approx(share)


def test_pass_at_k_stays_exact_for_many_samples() -> None:
    assert pass_at_k(100_000, 1, 1000) == pytest.approx(0.01)


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses_what_makes_no_sense(n: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@k"):
        pass_at_k(n, correct, k)


def test_binomial_stderr() -> None:
    assert binomial_stderr(25, 100) == pytest.approx(math.sqrt(0.25 * 0.75 / 100))
    assert binomial_stderr(0, 0) == 0


def test_clusters_of_equal_values_count_once() -> None:
    values = [1.0, 0.0, 0.0, 1.0, 1.0]
    each = clustered_stderr(values, range(5))
    assert each == pytest.approx(binomial_stderr(3, 5))
    twice = clustered_stderr([v for v in values for _ in "ab"], [i for i in range(5) for _ in "ab"])
    assert twice == pytest.approx(each)


def test_paired_difference() -> None:
    d = paired([1, 1, 0, 1], [1, 0, 0, 0])
    assert d.mean == 0.5
    assert d.stderr == pytest.approx(math.sqrt((4 * 0.25 / 3) / 4))
    assert d.p == 0.5
    assert not d.clear


def test_a_difference_without_spread_on_few_samples_is_not_clear() -> None:
    assert not paired([1, 1, 1], [0, 0, 0]).clear
    assert paired([1] * 8, [0] * 8).clear
    assert not paired([1] * 8, [1] * 8).clear


def test_mcnemar_is_the_exact_binomial_test() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_quantiles_lie_between_the_extremes(values: list[float], q: float) -> None:
    assert min(values) <= quantile(values, q) <= max(values) or len(set(values)) == 1


def test_quantile_interpolates() -> None:
    assert quantile([4, 1, 2, 3], 0.5) == 2.5
    assert quantile([1, 2], 0.95) == pytest.approx(1.95)
    assert quantile([], 0.5) == 0


@given(st.integers(1, 200), st.data())
def test_wilson_holds_the_share(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert low < high


def test_bootstrap_agrees_with_the_normal_interval() -> None:
    values = [float(i % 7) for i in range(200)]
    low, high = bootstrap(values)
    mean = sum(values) / len(values)
    assert low == pytest.approx(mean - 1.96 * mean_stderr(values), abs=0.06)
    assert high == pytest.approx(mean + 1.96 * mean_stderr(values), abs=0.06)
