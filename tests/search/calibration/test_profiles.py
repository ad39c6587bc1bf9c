"""Profiles: planted demands are found, and predict on problems that were not fitted to."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.search.calibration.kept import Example
from weft.search.calibration.logistic import fit_logistic, solve
from weft.search.calibration.profiles import (
    cheapest,
    fit_profiles,
    held_out_choice,
    held_out_profiles,
)


def chance(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def test_without_numbers_the_fit_is_the_share() -> None:
    fit = fit_logistic([({}, i < 6) for i in range(7)])
    assert fit({}) == pytest.approx(6.5 / 8)  # half a success and half a failure more
    assert fit({"unknown": 9.0}) == fit({})
    assert 0.9 < fit_logistic([({}, True)] * 50)({}) < 1


def test_planted_weights_are_found() -> None:
    rng = random.Random(1)
    points = []
    for _ in range(4000):
        levels = {"logic": float(rng.randrange(6)), "luck": rng.random()}
        points.append((levels, rng.random() < chance(3 - 1.2 * levels["logic"])))
    fit = fit_logistic(points)
    assert fit.weights["logic"] / fit.centre["logic"][1] == pytest.approx(-1.2, abs=0.1)
    assert fit.weights["luck"] == pytest.approx(0, abs=0.15)
    assert fit({"logic": 0.0, "luck": 0.5}) == pytest.approx(chance(3), abs=0.02)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=30
    )
)
def test_a_fit_is_finite_and_at_its_optimum(rows: list[tuple[int, int, bool]]) -> None:
    """Even if a number parts successes from failures."""
    points = [({"a": float(a), "b": float(b)}, hit) for a, b, hit in rows]
    fit = fit_logistic(points)
    slopes = dict.fromkeys(fit.weights, 0.0)
    for levels, hit in points:
        p = fit(levels)
        assert 0 <= p <= 1
        for name in slopes:
            mean, spread = fit.centre[name]
            slopes[name] += (hit - p) * (levels[name] - mean) / spread
    for name, slope in slopes.items():
        assert slope == pytest.approx(0.3 * fit.weights[name], abs=1e-5)  # the penalty's slope


def test_equations_are_solved() -> None:
    assert solve([[0, 2], [4, 1]], [2, 9]) == pytest.approx([2, 1])
    with pytest.raises(UsageError):
        solve([[1, 2], [2, 4]], [1, 2])
    with pytest.raises(UsageError):
        fit_logistic([])


def planted(n: int = 400) -> list[Example]:
    """A small strategy fails where logic is demanded, a dear one hardly ever; one guesses."""
    rng = random.Random(0)
    examples: list[Example] = []
    for i in range(n):
        logic = float(i % 6)
        beside = {
            "small": (rng.random() < chance(4 - 2 * logic), 10.0),
            "dear": (rng.random() < 0.93, 100.0),
            "guess": (rng.random() < 0.3, 1.0),
        }
        levels = {"logic": logic, "length": float(rng.randrange(6))}
        examples.append(Example(str(i), logic, None, beside, levels))
    return examples


def test_on_the_other_half_predictions_tell_and_are_calibrated() -> None:
    by = {one.strategy: one for one in held_out_profiles(planted())}
    assert by["small"].auc > 0.9
    assert by["small"].brier < 0.5 * by["small"].base
    assert by["small"].off < 0.06
    assert by["guess"].auc == pytest.approx(0.5, abs=0.1)
    assert by["guess"].brier == pytest.approx(by["guess"].base, abs=0.02)
    assert sum(one.n for one in by.values()) == 3 * 400


def test_the_cheapest_that_is_sure_enough_is_chosen() -> None:
    profiles = fit_profiles(planted())
    assert cheapest(profiles, {"logic": 0.0, "length": 2.0}, 0.8) == "small"
    assert cheapest(profiles, {"logic": 5.0, "length": 2.0}, 0.8) == "dear"
    assert cheapest(profiles, {"logic": 5.0}, 0.999) == "dear"  # the likeliest
    assert cheapest(profiles, {"logic": 5.0}, 0.0) == "guess"
    right, tokens = held_out_choice(planted(), 0.8)
    assert right > 0.9
    assert tokens < 80
    assert "guess" not in fit_profiles(planted(), lambda spec: spec != "guess")
