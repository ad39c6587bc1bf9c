from __future__ import annotations

import math
from itertools import product

import pytest

from weft.errors import UsageError
from weft.evals.solve_or_verify import VERDICTS, accuracy, solve_or_verify


def by_enumeration(p: float, tpr: float, fpr: float, solutions: int, verdicts: int) -> float:
    total = 0.0
    for right in product((True, False), repeat=solutions):
        for yes in product((0, 1), repeat=solutions * verdicts):
            chance, sums = 1.0, {True: 0, False: 0}
            for i, is_right in enumerate(right):
                chance *= p if is_right else 1 - p
                for said in yes[i * verdicts : (i + 1) * verdicts]:
                    likely = tpr if is_right else fpr
                    chance *= likely if said else 1 - likely
                    sums[is_right] += said
            if not verdicts:
                sums = {True: sum(right), False: solutions - sum(right)}
            # Of a tie the earliest solution's answer wins.
            wins = right[0] if sums[True] == sums[False] else sums[True] > sums[False]
            total += chance * wins
    return total


@pytest.mark.parametrize(
    ("solutions", "verdicts"), [(1, 0), (4, 0), (3, 0), (1, 2), (2, 2), (3, 1), (3, 2)]
)
def test_accuracy_is_exact(solutions: int, verdicts: int) -> None:
    found = accuracy(0.6, 0.8, 0.3, solutions, verdicts)
    assert found == pytest.approx(by_enumeration(0.6, 0.8, 0.3, solutions, verdicts))


def test_votes_without_verdicts() -> None:
    assert accuracy(0.6, 0.9, 0.1, 3, 0) == pytest.approx(0.648)
    assert accuracy(0.6, 0.9, 0.1, 5, 0) == pytest.approx(0.68256)


def test_many_verdicts_weigh_as_the_verifier_is() -> None:
    """With endless verdicts the right answer wins where c tpr > (S - c) fpr."""
    p, tpr, fpr, solutions = 0.3, 0.9, 0.1, 5
    chances = [math.comb(5, c) * p**c * (1 - p) ** (5 - c) for c in range(6)]
    limit = sum(chance for c, chance in enumerate(chances) if c * tpr > (solutions - c) * fpr)
    assert accuracy(p, tpr, fpr, solutions, 200) == pytest.approx(limit, abs=1e-6)
    # Where no wrong one is ever passed, one right solution is enough.
    assert 0 < accuracy(p, tpr, fpr, 40, 32) <= 1 + 1e-9
    assert accuracy(p, 1.0, 0.0, 5, 1) == pytest.approx(1 - (1 - p) ** 5)


def test_the_split_is_on_the_front_of_all() -> None:
    chances, tpr, fpr, budget, price = [0.7, 0.35, 0.2], 0.8, 0.3, 12, 0.5
    best = solve_or_verify(chances, tpr, fpr, budget, price)
    assert best.cost == best.solutions * (1 + price * best.verdicts) <= budget
    for verdicts in VERDICTS:
        for solutions in range(1, int(budget / (1 + price * verdicts)) + 1):
            found = sum(accuracy(p, tpr, fpr, solutions, verdicts) for p in chances) / 3
            assert found <= best.accuracy + 1e-12
            assert found < best.accuracy or solutions * (1 + price * verdicts) >= best.cost - 1e-9


def test_verdicts_pay_where_they_are_cheap_or_good() -> None:
    assert solve_or_verify([0.6], 0.6, 0.5, 16, 1.0).verdicts == 0
    assert solve_or_verify([0.6], 0.95, 0.05, 16, 0.1).verdicts > 0
    # Of a small budget there is nothing left for verdicts.
    assert solve_or_verify([0.6], 0.95, 0.05, 1.5, 1.0).verdicts == 0
    assert solve_or_verify([1.0], 0.9, 0.1, 16, 1.0).solutions == 1


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="a budget of a solution or more"):
        solve_or_verify([0.5], 0.9, 0.1, 0.5, 1)
    with pytest.raises(UsageError, match="must be from 0 to 1"):
        accuracy(0.5, 1.9, 0.1, 3, 1)
