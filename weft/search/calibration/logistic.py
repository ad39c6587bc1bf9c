"""Logistic regression: how likely a success is, by several numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from weft.errors import UsageError

_ROUNDS = 50
_ENOUGH = 1e-9


@dataclass(frozen=True)
class Logistic:
    """A fitted probability.

    Attributes:
        intercept: the log-odds where every number has its mean.
        weights: by name, what one standard deviation more adds to the log-odds.
        centre: of each number, its mean and standard deviation where the fit was made.
    """

    intercept: float
    weights: Mapping[str, float]
    centre: Mapping[str, tuple[float, float]]

    def __call__(self, levels: Mapping[str, float]) -> float:
        """The probability; a number that is missing counts as its mean."""
        odds = self.intercept
        for name, weight in self.weights.items():
            mean, spread = self.centre[name]
            odds += weight * (levels.get(name, mean) - mean) / spread
        return _chance(odds)


def fit_logistic(
    points: Sequence[tuple[Mapping[str, float], bool]], ridge: float = 0.3
) -> Logistic:
    """Fit it by Newton's method, with a penalty that keeps it finite (le Cessie 1992).

    Args:
        points: of each, its numbers by name, and whether it was a success.
        ridge: the penalty on each squared weight; the intercept has none of its own, but counts
            half a success and half a failure more, so that it is finite as well.

    Raises:
        UsageError: there is no point, or the penalty is not above 0.
    """
    if not points or ridge <= 0:
        raise UsageError("fit_logistic needs points, and a ridge above 0")
    centre: dict[str, tuple[float, float]] = {}
    for name in dict.fromkeys(name for levels, _ in points for name in levels):
        known = [levels[name] for levels, _ in points if name in levels]
        if (spread := pstdev(known)) > 0:
            centre[name] = fmean(known), spread
    rows = [
        [1.0, *((levels.get(name, mean) - mean) / wide for name, (mean, wide) in centre.items())]
        for levels, _ in points
    ]
    rows += [[1.0] + [0.0] * len(centre)]  # a success and a failure, each by half
    weights = [1.0] * len(points) + [1.0]
    right = [float(success) for _, success in points] + [0.5]
    size = len(centre) + 1
    beta = [0.0] * size
    for _ in range(_ROUNDS):
        slope = [0.0] + [-ridge * b for b in beta[1:]]
        curve = [[ridge * (i == j > 0) for j in range(size)] for i in range(size)]
        for row, weight, hit in zip(rows, weights, right, strict=True):
            chance = _chance(math.fsum(b * x for b, x in zip(beta, row, strict=True)))
            bend = weight * max(chance * (1 - chance), 1e-12)
            for i in range(size):
                slope[i] += weight * (hit - chance) * row[i]
                for j in range(size):
                    curve[i][j] += bend * row[i] * row[j]
        step = solve(curve, slope)
        largest = max(map(abs, step))
        shrink = min(1.0, 5.0 / largest) if largest else 1.0  # far steps overshoot
        beta = [b + shrink * s for b, s in zip(beta, step, strict=True)]
        if largest < _ENOUGH:
            break
    return Logistic(beta[0], dict(zip(centre, beta[1:], strict=True)), centre)


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """The solution of linear equations, by Gaussian elimination with pivots.

    Raises:
        UsageError: there is none, or more than one.
    """
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for at in range(size):
        pivot = max(range(at, size), key=lambda i: abs(rows[i][at]))
        if abs(rows[pivot][at]) < 1e-12:
            raise UsageError("these equations have not just one solution")
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for below in range(at + 1, size):
            factor = rows[below][at] / rows[at][at]
            for column in range(at, size + 1):
                rows[below][column] -= factor * rows[at][column]
    found = [0.0] * size
    for at in reversed(range(size)):
        known = math.fsum(rows[at][j] * found[j] for j in range(at + 1, size))
        found[at] = (rows[at][size] - known) / rows[at][at]
    return found


def _chance(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else 1 - 1 / (1 + math.exp(odds))
