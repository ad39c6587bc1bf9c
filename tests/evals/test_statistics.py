from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.evals.statistics import holm, paired, quantile, share
from weft.evals.statistics.intervals import tango, tango_z, wilson
from weft.evals.statistics.plain import critical, student_p
from weft.evals.statistics.power import pairs_needed
from weft.evals.statistics.sign_flip import sign_flip_p


def test_one_of_one_is_not_certain() -> None:
    assert str(share([1], ["a"])) == "100.0 [20.7, 100.0]"
    assert str(share([], [])) == "0.0 [0.0, 100.0]"
    assert str(share([1.0] * 8, ["a"] * 8)) == "100.0 [20.7, 100.0]"  # one problem, eight times


def test_wilsons_interval() -> None:
    """Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20 and 1 of 29."""
    for right, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = share([1.0] * right + [0.0] * (n - right), range(n))
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
        assert found.stderr == pytest.approx(
            math.sqrt(right / n * (1 - right / n) / (n - 1)), abs=1e-9
        )


def test_clusters_count_and_not_values() -> None:
    alike = share([1, 1, 1, 1, 0, 0, 0, 0] * 5, [i // 4 for i in range(40)])
    assert alike.stderr == pytest.approx(share([1, 0] * 5, range(10)).stderr)
    assert alike.low < share([1, 0] * 20, range(40)).low
    # Clusters that are no more alike than others cost nothing but degrees of freedom.
    apart = share([1, 0] * 20, [i // 2 for i in range(40)])
    assert (apart.low, apart.high) == pytest.approx(wilson(0.5, 40, critical(0.95, 19)))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=1))
def test_an_interval_holds_its_share(rows: list[tuple[float, int]]) -> None:
    found = share([v for v, _ in rows], [c for _, c in rows])
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.05


def test_students_distribution() -> None:
    assert student_p(1.0, 1) == pytest.approx(0.5)  # Cauchy
    assert student_p(math.sqrt(2), 2) == pytest.approx(1 - math.sqrt(0.5))
    for freedom, t in [(1, 12.7062), (2, 4.3027), (5, 2.5706), (30, 2.0423), (None, 1.96)]:
        assert critical(0.95, freedom) == pytest.approx(t, abs=5e-5)
    assert student_p(2.5, 401) == pytest.approx(student_p(2.5, 400), rel=1e-3)
    assert student_p(math.inf, 3) == pytest.approx(0, abs=1e-12)


def test_paired_difference() -> None:
    d = paired([1, 1, 0, 1], [1, 0, 0, 0])
    assert d.mean == 0.5
    assert d.stderr == pytest.approx(math.sqrt((4 * 0.25 / 3) / 4))
    assert d.p == 0.5
    assert paired([1], [0]).p == 1
    assert paired([1] * 8, [0] * 8).p == pytest.approx(2 / 2**8)
    assert paired([1] * 8, [1] * 8).p == 1
    assert paired([], []).p == 1


def test_tangos_score_has_the_likeliest_variance() -> None:
    """Beside the greatest likelihood under the difference, found by trying."""
    for wins, losses, n, difference in [(7, 2, 20, 0.1), (7, 2, 20, -0.2), (0, 0, 50, 0.02)]:

        def likelihood(lost: float) -> float:
            won = lost + difference  # noqa: B023 - called here only
            shares = ((wins, won), (losses, lost), (n - wins - losses, 1 - won - lost))  # noqa: B023
            return sum(count * math.log(p) for count, p in shares if count)

        least, most = max(0.0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9
        tried = [least + (most - least) * i / 20_000 for i in range(20_001)]
        lost = max(tried, key=likelihood)
        variance = n * (2 * lost + difference - difference**2)
        z = (wins - losses - n * difference) / math.sqrt(variance)
        assert tango_z(wins, losses, n, difference) == pytest.approx(z, rel=1e-3)


def test_tangos_interval_without_a_pair_that_differs() -> None:
    low, high = tango(0, 0, 200, 1.96)
    assert high == -low == pytest.approx(1.96**2 / (200 + 1.96**2), abs=1e-6)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_tangos_interval_holds_the_difference_and_turns_with_it(a: int, b: int, c: int) -> None:
    n = a + b + c + 1
    low, high = tango(a, b, n, 1.96)
    assert -1 <= low <= (a - b) / n <= high <= 1
    assert tango(b, a, n, 1.96) == pytest.approx((-high, -low), abs=1e-6)
    assert tango_z(a, b, n, 0) == pytest.approx((a - b) / math.sqrt(a + b) if a + b else 0)


def test_signs_are_flipped_as_mcnemar_does() -> None:
    assert sign_flip_p([]) == sign_flip_p([0, 0]) == sign_flip_p([1] * 5 + [-1] * 5) == 1
    assert sign_flip_p([1] * 10 + [-1] * 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert sign_flip_p([1] * 900) == pytest.approx(0)


@settings(max_examples=50)
@given(st.lists(st.integers(-4, 4), max_size=8))
def test_it_counts_all_choices_of_signs(sums: list[int]) -> None:
    every = [abs(sum(s * v for s, v in zip(signs, sums, strict=True)))
             for signs in product((1, -1), repeat=len(sums))]  # fmt: skip
    share = sum(v >= abs(sum(sums)) for v in every) / len(every)
    assert sign_flip_p(sums) == pytest.approx(share)


def test_what_is_no_whole_number_is_tested_by_student() -> None:
    values = [0.3, -0.1, 0.7, 0.2, 0.4, -0.2, 0.9]
    d = paired([10 + v for v in values], [10] * 7)
    assert d.p == pytest.approx(student_p(d.mean / d.stderr, 6))
    low, _ = d.interval()
    assert low == pytest.approx(d.mean - critical(0.95, 6) * d.stderr)
    assert paired([10.5, 10.5, 10.5], [10, 10, 10]).p == 0.25  # no spread proves little


def test_holm() -> None:
    tests = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    found = holm({name: (p, name) for name, p in tests.items()})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {}
    # Two questions about one difference count once, until both are decided.
    grouped = holm({"a": (0.01, 1), "b": (0.02, 1), "c": (0.03, 2)})
    assert grouped == pytest.approx({"a": 0.02, "b": 0.04, "c": 0.04})


def test_power() -> None:
    # 1.960 and 0.842 standard errors: (1.960 sqrt(0.3) + 0.842 sqrt(0.29))^2 / 0.01
    assert pairs_needed(0.1, 0.3, 0.05) == pytest.approx(233.1, abs=0.2)
    assert pairs_needed(0.02, 0.0, 0.05) == pairs_needed(0.02, 0.02, 0.05)
    d = paired([1, 0] * 50, [0, 0] * 50, [i // 2 for i in range(100)])
    assert d.needed(0.02) * 100 == pytest.approx(pairs_needed(0.02, 0.5, 0.05))


def test_quantile_interpolates() -> None:
    assert quantile([4, 1, 2, 3], 0.5) == 2.5
    assert quantile([1, 2], 0.95) == pytest.approx(1.95)
    assert quantile([], 0.5) == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_quantiles_lie_between_the_extremes(values: list[float], q: float) -> None:
    assert min(values) <= quantile(values, q) <= max(values) or len(set(values)) == 1
