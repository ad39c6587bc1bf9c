from __future__ import annotations

import json
import logging
import math
import random
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import Pool
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import StoreError, UsageError
from weft.programs import Prompt
from weft.search import Question
from weft.search.calibration.conformal import (
    conformal_quantile,
    least_examples,
    p_value,
    prediction_set,
)
from weft.search.calibration.examples import (
    AnswerGiven,
    Scored,
    calibrations,
    judged,
    with_examples,
)
from weft.search.calibration.isotonic import auc, isotonic, tells
from weft.search.calibration.kept import (
    Calibration,
    Example,
    find_calibration,
    keep_calibrations,
    kept_calibrations,
)
from weft.search.calibration.tracker import BetaTracker
from weft.store.store import Store


@pytest.mark.parametrize(("n", "miss"), [(9, 0.1), (19, 0.1), (23, 0.25), (8, 0.1)])
def test_a_quantile_is_missed_as_often_as_it_may_be(n: int, miss: float) -> None:
    """Of n + 1 scores in any order, the new one is each of the ranks equally often: exact."""
    ranks = range(n + 1)
    missed = sum(r > conformal_quantile([x for x in ranks if x != r], miss) for r in ranks)
    rate = Fraction(missed, n + 1)
    if n < least_examples(miss):
        assert missed == 0
    else:
        assert miss - Fraction(1, n + 1) < rate <= Fraction(miss).limit_denominator(1000)


def test_ends_of_quantiles() -> None:
    assert conformal_quantile([], 0.1) == math.inf
    assert conformal_quantile([3.0, 1.0], 1.0) == -math.inf
    assert conformal_quantile([3.0, 1.0], 0.0) == math.inf
    assert [least_examples(m) for m in (0.1, 0.05, 0.5, 1.0)] == [9, 19, 1, 0]
    with pytest.raises(UsageError, match="miss=2"):
        conformal_quantile([1.0], 2)


def test_p_values_are_uniform() -> None:
    ranks = range(20)
    found = sorted(p_value([x for x in ranks if x != r], r) for r in ranks)
    assert found == [pytest.approx(k / 20) for k in range(1, 21)]


SCORES = st.lists(st.integers(0, 9), max_size=15)


@given(SCORES, SCORES)
def test_prediction_sets_grow_as_less_may_be_missed(right: list[int], wrong: list[int]) -> None:
    known = {True: right, False: wrong}
    strange = {True: 4, False: 6}
    sets = [prediction_set(known, strange, miss) for miss in (0.5, 0.2, 0.1, 0.0)]
    assert all(a <= b for a, b in pairwise(sets))
    assert sets[-1] == {True, False}


def test_class_conditional_coverage() -> None:
    """Within binomial error, of scores whose labels are rarely right."""
    rng, miss, rounds = random.Random(5), 0.2, 1500

    def example() -> tuple[bool, float]:
        right = rng.random() < 0.3
        return right, min(1.0, max(0.0, rng.gauss(0.65 if right else 0.4, 0.2)))

    covered = {True: [0, 0], False: [0, 0]}
    for _ in range(rounds):
        known: dict[bool, list[float]] = {True: [], False: []}
        for right, p in (example() for _ in range(60)):
            known[right].append(1 - p if right else p)
        right, p = example()
        covered[right][0] += right in prediction_set(known, {True: 1 - p, False: p}, miss)
        covered[right][1] += 1
    for hits, n in covered.values():
        error = math.sqrt(miss * (1 - miss) / n)
        # At most 1 / (scores + 1) more than asked for, of about 18 or 42 scores.
        assert 1 - miss - 3 * error < hits / n < 1 - miss + 3 * error + 0.08


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=14))
def test_isotonic_is_the_best_that_never_falls(points: list[tuple[int, int]]) -> None:
    """Against the formula: the largest mean of what ends here, of the smallest that begins."""
    fit = isotonic(points)
    xs = sorted({x for x, _ in points})

    def mean(low: int, high: int) -> Fraction:
        ys = [y for x, y in points if low <= x <= high]
        return Fraction(sum(ys), len(ys))

    for x in xs:
        best = max(min(mean(j, k) for k in xs if k >= x) for j in xs if j <= x)
        assert fit(x) == pytest.approx(float(best), abs=1e-12)
    assert (fit(-1), fit(7)) == (fit.ys[0], fit.ys[-1])
    between = [fit(i / 7) for i in range(50)]
    assert between == sorted(between)


def test_isotonic_needs_a_point() -> None:
    with pytest.raises(UsageError, match="one point"):
        isotonic([])


def test_auc_counts_pairs() -> None:
    right, wrong = [3.0, 2.0, 2.0], [2.0, 1.0]
    pairs = [(r > w) + (r == w) / 2 for r, w in product(right, wrong)]
    assert auc(right, wrong) == sum(pairs) / 6
    assert auc([1.0], []) == 0.5
    # Of five and five the AUC's error is 0.19, so it must be above 0.88.
    assert tells([2, 3, 4, 5, 6], [1, 1, 1, 1, 4]) is True
    assert tells([2, 3, 4, 5, 6], [1, 1, 1, 4, 4]) is False
    assert tells([1.0], []) is False


def test_a_tracker_learns_a_rate_and_follows_it() -> None:
    still, following = BetaTracker(), BetaTracker(keep=0.8)
    for _ in range(200):
        still, following = still.seen(8, 2), following.seen(8, 2)
    assert still.mean == pytest.approx(1601 / 2002)
    assert following.mean == pytest.approx((8 / 0.2 + 1) / (10 / 0.2 + 2), abs=1e-6)
    for _ in range(20):
        still, following = still.seen(2, 8), following.seen(2, 8)
    assert following.mean < 0.25
    assert still.mean > 0.7
    rng = random.Random(1)
    draws = [still.draw(rng) for _ in range(400)]
    assert sum(draws) / 400 == pytest.approx(still.mean, abs=4 * still.stderr / 20)
    with pytest.raises(UsageError, match="keep=0"):
        BetaTracker(keep=0.0)


def test_examples_are_judged_and_collected() -> None:
    given = with_examples("m(n=2)", [Scored(0.7, "4", "It is 4."), Scored(0.2)])
    details = judged(
        {"samples": 3, **given}, lambda value, text: (value, text) == ("4", "It is 4.")
    )
    assert details["samples"] == 3
    rows = [
        AnswerGiven("sample 1", ("1", 0), "m(n=2)", True, 9, json.loads(json.dumps(details))),
        AnswerGiven("sample 1", ("1", 0), "greedy", False, 5, {}),
    ]
    (made,) = calibrations(rows, "model", "sums")
    assert (made.method, made.problems()) == ("m(n=2)", 1)
    assert made.examples == (Example("sample 1", 0.7, True), Example("sample 1", 0.2, None))
    assert (made.problems(True), made.problems(False)) == (1, 0)
    assert made.rate == BetaTracker(successes=1, failures=0)
    assert (made.scores(), made.scores(True), made.scores(False)) == ([0.2, 0.7], [0.7], [])


def test_a_store_keeps_the_last_of_each(tmp_path: Path) -> None:
    beside = {"": (True, 4.0), "greedy": (False, 2.0)}
    one = Calibration("m", "sums", "a", (Example("p", 0.5, True),), at=5.0)
    other = Calibration("m", "sums", "b", (Example("p", 0.25),), at=6.0)
    newer = Calibration("m", "sums", "a", (Example("p", 0.75, False, beside),), at=7.0)
    with Store(tmp_path / "s.sqlite") as store:
        keep_calibrations(store, [one, other])
        keep_calibrations(store, [newer])
    with Store(tmp_path / "s.sqlite") as store:
        assert sorted(kept_calibrations(store), key=lambda c: c.at) == [other, newer]
        store.keep_calibrations({'["m", "sums", "a"]': "{}"})
        with pytest.raises(StoreError, match="make it again"):
            kept_calibrations(store)


async def test_what_is_missing_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    question = Question(Prompt.user("1 + 1?"), str, bool, task="sums")
    store = Store()
    few = Calibration("model", "sums", "few", (Example("a", 0.5), Example("a", 0.6)))
    named = Calibration("model", "mine", "some", (Example("a", 0.5), Example("b", 0.6)))
    keep_calibrations(store, [few, named])
    async with Pool(ScriptedEngine("2", model="model"), store=store):
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert find_calibration("none", question, instead="all is drawn") is None
                assert find_calibration("few", question, least=2, instead="all is drawn") is None
                assert find_calibration("some", question, instead="all is drawn") is None
                found = find_calibration("some", question, task="mine", least=2, instead="")
                assert found == named
    async with Pool(ScriptedEngine("2", model="model"), calibrations=store):  # as services have it
        assert find_calibration("some", question, task="mine", instead="") == named
    said = [record.getMessage() for record in caplog.records]
    assert [sentence.partition(";")[0] for sentence in said] == [
        "none has no calibration for model on sums",
        "few has a calibration of 1 problems, and needs 2, for model on sums",
        "some has no calibration for model on sums",
    ]
    assert all("weft eval calibrate" in sentence for sentence in said)
