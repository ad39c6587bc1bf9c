"""Whether to spend on more solutions, or on verdicts about them (Singhi et al. 2025).

The model of a problem: a solution is right with some probability, and all wrong ones give the
same answer, which is the worst case for a vote. A verdict says yes of a right solution and of a
wrong one with two other probabilities. Solutions vote with the number of their yeses; without
verdicts each has one vote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from weft.errors import UsageError
from weft.evals.statistics import mean

VERDICTS = (0, 1, 2, 4, 8, 16, 32)
"""How many verdicts a solution are considered."""


@dataclass(frozen=True)
class Split:
    """How to spend on a problem.

    Attributes:
        solutions: how many.
        verdicts: of each solution; 0 is a plain vote.
        accuracy: what is expected of it.
        cost: in solutions.
    """

    solutions: int
    verdicts: int
    accuracy: float
    cost: float


def solve_or_verify(
    chances: Sequence[float],
    yes_if_right: float,
    yes_if_wrong: float,
    budget: float,
    verdict_cost: float,
) -> Split:
    """The best way to spend a budget on each problem; of equals the cheapest.

    Args:
        chances: of each problem of a pilot, with what probability a solution is right.
        yes_if_right: with what probability a verdict says yes of a right solution.
        yes_if_wrong: the same of a wrong one.
        budget: for a problem, in solutions; at least 1.
        verdict_cost: tokens of a verdict, as a share of a solution's.

    Raises:
        UsageError: there is no problem, or an argument is out of range.
    """
    if not chances or budget < 1 or verdict_cost <= 0:
        raise UsageError(
            "solve_or_verify needs the chance of a problem, a budget of a solution or more, and "
            "what a verdict costs"
        )
    best = Split(0, 0, -1.0, 0.0)
    for verdicts in VERDICTS:
        price = 1 + verdict_cost * verdicts
        for solutions in range(1, math.floor(budget / price + 1e-9) + 1):
            found = mean(
                [accuracy(p, yes_if_right, yes_if_wrong, solutions, verdicts) for p in chances]
            )
            cost = solutions * price
            gains = found - best.accuracy
            if gains > 1e-12 or (gains > -1e-12 and cost < best.cost):
                best = Split(solutions, verdicts, found, cost)
    return best


@lru_cache(maxsize=65536)
def accuracy(
    right: float, yes_if_right: float, yes_if_wrong: float, solutions: int, verdicts: int
) -> float:
    """With what probability the vote is right: exact, by the number of right solutions.

    Args:
        right: with what probability a solution is right.
        yes_if_right: with what probability a verdict says yes of a right solution.
        yes_if_wrong: the same of a wrong one.
        solutions: how many.
        verdicts: of each; 0 is a plain vote.

    Raises:
        UsageError: a probability is not from 0 to 1.
    """
    if not all(0 <= p <= 1 for p in (right, yes_if_right, yes_if_wrong)):
        raise UsageError("probabilities of solve_or_verify must be from 0 to 1")
    total = 0.0
    for many, chance in enumerate(_binomial(solutions, right)):
        wins = ties = 0.0
        if verdicts == 0:
            wins, ties = float(2 * many > solutions), float(2 * many == solutions)
        else:
            others = _binomial((solutions - many) * verdicts, yes_if_wrong)
            below = 0.0  # how likely the others have fewer yeses
            for yes, of_right in enumerate(_binomial(many * verdicts, yes_if_right)):
                same = others[yes] if yes < len(others) else 0.0
                wins += of_right * below
                ties += of_right * same
                below += same
        # Of a tie the earliest solution decides, and any may be the earliest.
        total += chance * (wins + ties * many / solutions)
    return total


def _binomial(n: int, p: float) -> list[float]:
    if p in (0, 1):
        return [float(k == n * p) for k in range(n + 1)]
    log, against, all_ways = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    return [
        math.exp(
            all_ways - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log + (n - k) * against
        )
        for k in range(n + 1)
    ]
