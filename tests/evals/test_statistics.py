from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.evals.statistics import (
    binomial_stderr,
    mcnemar,
    paired,
    quantile,
)


def test_binomial_stderr() -> None:
    assert binomial_stderr(25, 100) == pytest.approx(math.sqrt(0.25 * 0.75 / 100))
    assert binomial_stderr(0, 0) == 0


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
