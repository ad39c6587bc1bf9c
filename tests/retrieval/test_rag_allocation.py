"""The allocation model: planted numbers are found again, and a budget holds."""

from __future__ import annotations

import math
from functools import partial
from itertools import product

import pytest

from weft.errors import UsageError
from weft.retrieval import AllocationModel, RagRun, RagSize, effective_context, fit_allocation

PLANTED = AllocationModel((0.31, 0.12, 0.25), (0.8, 0.5, 0.0), -1.7)
SIZES = [RagSize(*three) for three in product((0, 1, 5, 20), (0, 1, 4), (1, 2, 4))]
TASKS = [(0.1, 0.02, 0.0), (0.3, 0.05, 0.0), (0.05, 0.2, 0.0)]


def test_prediction_by_hand() -> None:
    x = (0.31 + 0.8 * 0.1) * math.log(6) + (0.12 + 0.5 * 0.02) * math.log(3) + 0.25 * math.log(2)
    expected = 1 / (1 + math.exp(-(x - 1.7)))
    assert PLANTED.predict(RagSize(5, 2, 2), TASKS[0]) == pytest.approx(expected)
    assert PLANTED.predict(RagSize(0, 0, 1)) == pytest.approx(1 / (1 + math.exp(1.7)))


@pytest.mark.parametrize("shift", [1.0, 0.0])
def test_a_fit_finds_planted_numbers(shift: float) -> None:
    pytest.importorskip("numpy")
    planted = AllocationModel(PLANTED.a, PLANTED.b, PLANTED.c, shift)
    usable = [s for s in SIZES if shift or min(s.documents, s.shots) > 0]
    runs = [RagRun(s, planted.predict(s, gains), gains) for s in usable for gains in TASKS]
    if not shift:
        runs.append(RagRun(RagSize(0, 1), 0.9))  # has no logarithm, and is left out
    fitted = fit_allocation(runs, shift=shift)
    assert fitted.distinct
    assert fitted.c == pytest.approx(planted.c)
    assert fitted.a == pytest.approx(planted.a)
    assert fitted.b == pytest.approx(planted.b, abs=1e-9)


def test_of_one_task_predictions_hold_though_a_and_b_are_open() -> None:
    pytest.importorskip("numpy")
    gains = TASKS[1]
    small = [s for s in SIZES if s.documents <= 5]
    fitted = fit_allocation([RagRun(s, PLANTED.predict(s, gains), gains) for s in small])
    assert not fitted.distinct
    for size in (RagSize(500, 64, 5), RagSize(0, 16, 3)):
        assert fitted.predict(size, gains) == pytest.approx(PLANTED.predict(size, gains))


def test_the_best_size_within_a_budget() -> None:
    cost = partial(effective_context, question=100, document=200, shot=300)
    assert cost(RagSize(10, 2, 1)) == 100 + 2000 + 600
    assert cost(RagSize(10, 2, 3)) == 3 * 700 + 2000 * (1 + 2 + 3)
    scores = list[float]()
    for tokens in (100, 1_000, 16_000, 128_000, 1_000_000):
        best = PLANTED.choose(tokens, cost)
        assert cost(best) <= tokens
        scores.append(PLANTED.predict(best))
        others = product((0, 1, 2, 5, 10, 20), (0, 1, 2, 4), (1, 2, 3))
        within = [s for s in (RagSize(*o) for o in others) if cost(s) <= tokens]
        assert all(PLANTED.predict(s) <= scores[-1] + 1e-9 for s in within)
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)
    flat = AllocationModel((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0)
    assert flat.choose(10_000, cost) == RagSize(0, 0, 1)  # more would be worth nothing
    with pytest.raises(UsageError, match="raise the budget"):
        PLANTED.choose(99, cost)
    assert min(AllocationModel((1, 1, 1), (0, 0, 0), 0, 0.0).choose(9_000, cost).shots, 9) >= 1


def test_what_can_not_be_fitted_is_told() -> None:
    pytest.importorskip("numpy")
    one = RagRun(RagSize(1, 1), 0.5)
    for runs in ([], [one], [one, RagRun(RagSize(2, 1), 1.2)], [one, RagRun(RagSize(-5, 1), 0.5)]):
        with pytest.raises(UsageError):
            fit_allocation(runs)
    with pytest.raises(UsageError, match="shift"):
        fit_allocation([one, one], shift=-1)
    sure = [RagRun(RagSize(1, 0), 0.0), RagRun(RagSize(8, 0), 1.0)]
    assert fit_allocation(sure).predict(RagSize(8, 0)) == pytest.approx(0.99)
    with pytest.raises(UsageError, match="no logarithm"):
        AllocationModel((1, 1, 1), (0, 0, 0), 0, 0.0).predict(RagSize(0, 1))
