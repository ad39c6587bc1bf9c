import json
import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.orchestrator.estimates.distribution import Distribution

BUCKET = 2 ** (1 / 8)
POSITIVE = st.floats(1e-5, 1e9)
SAMPLES = st.lists(POSITIVE, min_size=1, max_size=60)


def drawn(inverse: Callable[[float], float], count: int = 4000) -> Distribution:
    """A distribution of evenly spread quantiles, in random order."""
    known = Distribution(math.inf)
    values = [inverse((i + 0.5) / count) for i in range(count)]
    random.Random(1).shuffle(values)
    for value in values:
        known.add(value)
    return known


def of(*values: float) -> Distribution:
    known = Distribution(math.inf)
    for value in values:
        known.add(value)
    return known


@pytest.fixture(scope="module")
def exponential() -> Distribution:
    return drawn(lambda u: -3 * math.log(1 - u))


@pytest.mark.parametrize("x", [0.0, 0.01, 0.1, 1.0, 3.0, 6.0, 9.0])
def test_an_exponential_does_not_remember(exponential: Distribution, x: float) -> None:
    assert exponential.mean_beyond(x) == pytest.approx(3, rel=0.01)
    assert exponential.gittins(x) == pytest.approx(1 / 3, rel=0.08)
    assert exponential.survival(x) == pytest.approx(math.exp(-x / 3), abs=0.003)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_quantiles_of_an_exponential(exponential: Distribution, p: float) -> None:
    assert exponential.quantile(p) == pytest.approx(-3 * math.log(1 - p), rel=0.01)


def test_a_value_that_repeats_is_exact() -> None:
    known = of(*[5.0] * 10_000)
    assert known.mean == known.quantile(0) == known.quantile(0.5) == known.quantile(1) == 5
    assert (known.cdf(math.nextafter(5, 0)), known.cdf(5)) == (0, 1)
    for x in (0.0, 1.0, 4.0, 4.9):
        assert known.mean_beyond(x) == pytest.approx(5 - x, rel=0.01)
        assert known.gittins(x) == pytest.approx(1 / (5 - x), rel=0.01)


def test_small_counts_are_exact() -> None:
    known = of(*[1] * 50, *[3] * 30, *[8] * 20)
    assert [known.survival(n) for n in (0, 1, 2, 3, 7, 8)] == pytest.approx(
        [1, 0.5, 0.5, 0.2, 0.2, 0]
    )
    assert list(known.points()) == [(1, 0.5), (3, pytest.approx(0.8)), (8, 1)]
    assert list(known.weights()) == [(1, 0.5), (3, 0.3), (8, 0.2)]


def test_a_pareto_is_to_last_in_proportion() -> None:
    shape = 3.0  # of a Lomax distribution of scale 1: mean excess (1 + x) / 2, hazard 3 / (1 + x)
    known = drawn(lambda u: (1 - u) ** (-1 / shape) - 1, 20_000)
    for x in (0.0, 0.5, 1.0, 2.0, 3.0):
        assert known.mean_beyond(x) == pytest.approx((1 + x) / (shape - 1), rel=0.04)
        assert known.gittins(x) == pytest.approx(shape / (1 + x), rel=0.05)


def test_a_uniform_is_best_served_to_its_end() -> None:
    known = drawn(lambda u: u)
    for x in (0.0, 0.1, 0.5, 0.9):
        assert known.mean_beyond(x) == pytest.approx((1 - x) / 2, rel=0.01)
        assert known.gittins(x) == pytest.approx(2 / (1 - x), rel=0.01)
        assert known.cdf(x) == pytest.approx(x, abs=0.002)


def test_what_has_outlasted_all_is_to_last_as_long_again() -> None:
    known = of(*[2.0] * 100)
    assert known.mean_beyond(50) == pytest.approx(52)
    assert known.gittins(50) == pytest.approx(1 / 52)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(20, 200)), min_size=1, max_size=6),
    st.floats(0, 100),
)
def test_gittins_by_its_definition(atoms: list[tuple[int, int]], x: float) -> None:
    """Against the maximum over all ends, with one imagined sample of a Lomax distribution."""
    sizes = {2.0 ** (step / 4): count for step, count in atoms}  # two buckets apart or more
    known = Distribution(math.inf)
    for size, count in sizes.items():
        for _ in range(count):
            known.add(size)
    mean = known.mean

    def gain(end: float) -> float:
        tail = (mean / (mean + x)) ** 2 - (mean / (mean + end)) ** 2 * (end < math.inf)
        tail_time = mean**2 / (mean + x) - (mean**2 / (mean + end) if end < math.inf else 0)
        over = sum(c for s, c in sizes.items() if x < s <= end)
        time = sum(c * (min(s, end) - x) for s, c in sizes.items() if s > x)
        return (over + tail) / (time + tail_time)

    left = sum(c for s, c in sizes.items() if s > x)
    ends = [
        end
        for end in sizes
        if sum(c for s, c in sizes.items() if x < s <= end) >= max(8, left / 16) and end > x
    ]
    assert known.gittins(x) == pytest.approx(max(map(gain, [*ends, math.inf])), rel=1e-6)


@given(SAMPLES, st.floats(0, 1e9))
def test_serving_to_the_end_is_one_of_the_choices(values: list[float], x: float) -> None:
    known = of(*values)
    assert known.gittins(x) >= 1 / known.mean_beyond(x) * (1 - 1e-9)


@given(SAMPLES, st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_quantiles_rise_and_are_within_a_bucket(values: list[float], ps: list[float]) -> None:
    known = of(*values)
    ps.sort()
    found = [known.quantile(p) for p in ps]
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(found))
    values.sort()
    for p, q in zip(ps, found, strict=True):
        # Where p falls on a step, either side of the step is a quantile.
        low = values[max(math.ceil(p * len(values) - 1e-9) - 1, 0)]
        high = values[min(math.floor(p * len(values) + 1e-9), len(values) - 1)]
        assert low / BUCKET <= q * (1 + 1e-9)
        assert q <= high * BUCKET * (1 + 1e-9)


@given(SAMPLES, st.floats(0, 1))
def test_cdf_undoes_quantile(values: list[float], p: float) -> None:
    known = of(*values)
    assert known.cdf(known.quantile(p) * (1 + 1e-9)) >= p - 1e-6
    assert known.cdf(known.quantile(p) / BUCKET * (1 - 1e-9)) <= p + 1e-6


@given(SAMPLES, st.lists(st.floats(0, 2e9), min_size=2, max_size=10))
def test_cdf_rises_from_0_to_1(values: list[float], xs: list[float]) -> None:
    known = of(*values)
    found = [known.cdf(x) for x in sorted(xs)]
    assert all(a <= b + 1e-12 for a, b in pairwise(found))
    assert known.cdf(0) == 0
    assert known.cdf(max(values) * BUCKET) == 1
    assert known.mean == pytest.approx(math.fsum(values) / len(values))
    assert known.mean_beyond(0) == pytest.approx(known.mean)


@given(st.lists(st.sampled_from([0.0, 1e-9, 1e-6, 1.0, 7.5, 1e12, 1e14]), min_size=1, max_size=9))
def test_extremes_are_taken(values: list[float]) -> None:
    known = of(*values)
    for x in (0.0, 1e-7, 1.0, 1e13, math.inf):
        assert 0 < known.mean_beyond(x) < math.inf
        assert 0 < known.gittins(x) < math.inf
        assert 0 <= known.cdf(x) <= 1


def test_old_samples_fade() -> None:
    known = Distribution(half_life=50)
    for _ in range(1000):
        known.add(1.0)
    assert known.samples == pytest.approx(1 / (1 - 0.5 ** (1 / 50)), rel=0.01)
    for _ in range(50):
        known.add(10.0)
    assert known.cdf(1) == pytest.approx(0.5, abs=0.01)
    assert known.mean == pytest.approx(5.5, rel=0.01)
    for _ in range(5000):  # weights are rescaled on the way
        known.add(10.0)
    assert known.quantile(0) == 10
    assert len(known.dump()["buckets"]) == 1


def test_answers_follow_new_samples() -> None:
    known = of(*[1.0] * 100)
    assert known.quantile(0.99) == 1
    for _ in range(100):
        known.add(9.0)
    assert known.quantile(0.5) == pytest.approx(1)
    assert known.quantile(0.6) == 9


def test_averages_of_the_logarithm() -> None:
    known = of(math.e, math.e)
    weight = 1 - 0.9**2
    assert known.log_moments == pytest.approx((weight, weight, weight))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.sampled_from([3.0, math.inf]))
def test_samples_may_come_together_or_one_by_one(values: list[int], half_life: float) -> None:
    together, single = Distribution(half_life), Distribution(half_life)
    for value in values:
        together.add(value)
        single.add(value)
        assert single.log_moments[0] > 0  # asked at once
    assert together.log_moments == pytest.approx(single.log_moments)
    assert together.mean == pytest.approx(single.mean)
    assert [together.cdf(x) for x in (0, 1, 2)] == pytest.approx([single.cdf(x) for x in (0, 1, 2)])


def test_a_prior_has_its_quantiles_and_says_so() -> None:
    prior = Distribution.log_normal(1.0, 30.0, "a guess")
    assert prior.quantile(0.5) == pytest.approx(1, rel=0.05)
    assert prior.quantile(0.95) == pytest.approx(30, rel=0.1)
    assert (prior.samples, prior.count) == (pytest.approx(1), 0)
    assert prior.source == "a guess"
    assert prior.log_moments == (0, 0, 0)
    assert Distribution(of="answers of plan").source == "0 answers of plan"


@given(SAMPLES, st.floats(1, 1000), POSITIVE)
def test_json_keeps_it(values: list[float], half_life: float, x: float) -> None:
    known = Distribution(half_life)
    for value in values:
        known.add(value)
    again = Distribution.load(json.loads(json.dumps(known.dump())), half_life)
    assert again.samples == pytest.approx(known.samples)
    assert again.count == known.count == len(values)
    assert again.log_moments == known.log_moments
    for value in (x, x):
        assert again.cdf(value) == pytest.approx(known.cdf(value))
        assert again.mean_beyond(value) == pytest.approx(known.mean_beyond(value))
        known.add(value)
        again.add(value)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"count": 1, "buckets": 3, "recent": [0, 0, 0]},
        {"count": 0, "buckets": [], "recent": [0]},
        {"count": 9, "buckets": [], "recent": [0, 0, 0]},
        {"count": 1, "buckets": [[0, -1, 1, 0]], "recent": [0, 0, 0]},
        {"count": 1, "buckets": [[10**6, 1, 1, 0]], "recent": [0, 0, 0]},
        {"count": 1, "buckets": [["x", 1, 1, 0]], "recent": [0, 0, 0]},
    ],
)
def test_json_of_something_else_is_refused(data: object) -> None:
    with pytest.raises(UsageError, match="no distribution"):
        Distribution.load(data)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_is_no_duration_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="finite numbers from 0 on"):
        Distribution().add(value)


def test_nothing_known_is_said() -> None:
    with pytest.raises(UsageError, match="nothing is known of answers of plan yet"):
        _ = Distribution(of="answers of plan").mean
    with pytest.raises(UsageError, match="half_life=0"):
        Distribution(half_life=0)
