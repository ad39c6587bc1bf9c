from __future__ import annotations

import math
import random
import statistics
from itertools import combinations

import pytest

from weft.errors import UsageError
from weft.evals.coverage import (
    DrawnCounts,
    coverage,
    coverage_law,
    pass_at_k,
    saturation,
    saturation_after,
)


def log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def test_it_is_the_share_of_choices_with_a_right_one() -> None:
    for n in range(1, 8):
        for correct in range(n + 1):
            for k in range(1, n + 1):
                chosen = list(combinations(range(n), k))
                right = sum(any(i < correct for i in choice) for choice in chosen)
                assert pass_at_k(n, correct, k) == pytest.approx(right / len(chosen))
    assert pass_at_k(10_000, 5_000, 5_000) == 1.0  # nothing overflows
    assert pass_at_k(10_000, 1, 1) == pytest.approx(1e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 2.0), (2.0, 3.0)])
def test_its_mean_is_the_beta_binomials(alpha: float, beta: float) -> None:
    """With p ~ Beta(alpha, beta) coverage is 1 - B(alpha, beta + k) / B(alpha, beta), exactly."""
    n = 12
    odds = {  # how likely c right ones of n are
        c: math.comb(n, c) * math.exp(log_beta(alpha + c, beta + n - c) - log_beta(alpha, beta))
        for c in range(n + 1)
    }
    assert math.fsum(odds.values()) == pytest.approx(1)
    for k in range(1, n + 1):
        true = 1 - math.exp(log_beta(alpha, beta + k) - log_beta(alpha, beta))
        found = math.fsum(p * pass_at_k(n, c, k) for c, p in odds.items())
        naive = math.fsum(p * (1 - (1 - c / n) ** k) for c, p in odds.items())
        assert found == pytest.approx(true)
        if k > 1:
            assert naive < true - 1e-3


def test_coverage_is_the_mean_over_problems() -> None:
    assert coverage([(4, 0), (4, 4), (4, 1)], 2) == pytest.approx((0 + 1 + 0.5) / 3)


def test_the_law_is_recovered() -> None:
    a, b = -1.7, -0.35
    points = {k: math.exp(a * k**b) for k in (1, 2, 5, 30, 200)}
    assert coverage_law(points | {10_000: 1.0}) == pytest.approx((a, b))


def test_what_makes_no_sense_is_one_sentence() -> None:
    for wrong, says in [
        (lambda: pass_at_k(4, 5, 1), "correct=5 of pass_at_k must be from 0 to n=4"),
        (lambda: pass_at_k(4, 1, 5), "k=5 of pass_at_k must be from 1 to n=4"),
        (lambda: coverage([], 1), "at least one problem"),
        (lambda: coverage_law({1: 0.5, 2: 1.0}), "two points or more"),
    ]:
        with pytest.raises(UsageError, match=says):
            wrong()


def test_from_where_on_samples_add_little() -> None:
    assert saturation(0.3) == 10
    for p, tolerance, most in [(0.3, 0.01, 1.0), (0.05, 0.003, 0.8), (0.9, 0.001, 1.0)]:
        n = saturation(p, tolerance, most)
        assert most * p * (1 - p) ** n <= tolerance < most * p * (1 - p) ** (n - 1)
    assert saturation(0.0) == saturation(1.0) == saturation(0.005) == 1
    assert saturation_after(2, 8) == saturation(0.3)
    with pytest.raises(UsageError, match="must be from 0 to 1"):
        saturation(1.5)
    with pytest.raises(UsageError, match="from 0 to drawn=2"):
        saturation_after(3, 2)


def drawn(problems: int, n: int, alike: int = 1) -> DrawnCounts:
    """Answers to problems whose ease is spread evenly; so many of a cluster are equally easy."""
    counts = [(n, round(n * (i // alike * alike / problems) ** 2)) for i in range(problems)]
    return DrawnCounts(tuple(counts), tuple(str(i // alike) for i in range(problems)))


def test_draws_have_coverage_up_to_the_fewest() -> None:
    draws = DrawnCounts(((5, 1), (4, 4), (9, 0)), ("a", "b", "c"))
    assert draws.ks == [1, 2, 4]
    assert draws.at(4).value == pytest.approx((0.8 + 1 + 0) / 3)
    assert draws.at(1).low < draws.at(1).value < draws.at(1).high


def test_the_law_is_fitted_and_extrapolated_with_its_error() -> None:
    draws = drawn(100, 16)
    law = draws.law()
    assert law == coverage_law({k: draws.at(k).value for k in draws.ks})
    assert law is not None
    found, few, alike = (
        d.extrapolated(64) for d in (draws, drawn(25, 16), drawn(100, 16, alike=5))
    )
    assert found is not None
    assert few is not None
    assert alike is not None
    assert found.value == pytest.approx(math.exp(law[0] * 64 ** law[1]))
    assert 0 < found.low < found.value < found.high < 1
    assert found.high - found.low == pytest.approx(4 * found.stderr, rel=0.15)
    assert few.stderr == pytest.approx(2 * found.stderr, rel=0.25)
    assert alike.stderr > 1.5 * found.stderr


def test_extrapolation_without_a_law_is_none() -> None:
    for counts in [((4, 0), (4, 0)), ((4, 4), (4, 4)), ((1, 1), (1, 0)), ((8, 3),)]:
        assert DrawnCounts(counts, ("a", "b")[: len(counts)]).extrapolated(100) is None


def test_its_error_is_what_chance_makes_of_it() -> None:
    """Beside many draws of problems: the mean of its standard errors is their deviation."""
    chance = random.Random(7)

    def found() -> tuple[float, float]:
        ease = [chance.betavariate(0.7, 2) for _ in range(60)]
        counts = tuple((8, sum(chance.random() < p for _ in range(8))) for p in ease)
        further = DrawnCounts(counts, tuple(map(str, range(60)))).extrapolated(32)
        assert further is not None
        return further.value, further.stderr

    values, errors = zip(*(found() for _ in range(60)), strict=True)
    # The deviation of 60 values is known to a tenth.
    assert statistics.mean(errors) == pytest.approx(statistics.stdev(values), rel=0.3)
