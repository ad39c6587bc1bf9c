"""What an evaluation may claim: accuracies and differences with their standard errors.

Everything here is a plain function of numbers, without numpy, so that it is quick to import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def binomial_stderr(successes: int, n: int) -> float:
    """Standard error of a share of independent trials, `sqrt(p (1 - p) / n)`; 0 if `n` is 0."""
    if n == 0:
        return 0.0
    p = successes / n
    return math.sqrt(p * (1 - p) / n)


def mean_stderr(values: Sequence[float]) -> float:
    """Standard error of a mean, with the unbiased variance; 0 for fewer than two values."""
    n = len(values)
    if n < 2:
        return 0.0
    centre = mean(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (n - 1) / n)


def quantile(values: Sequence[float], q: float) -> float:
    """The `q`-quantile by linear interpolation between order statistics; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def mcnemar(wins: int, losses: int) -> float:
    """The exact two-sided p-value that wins and losses are equally likely (McNemar 1947)."""
    n = wins + losses
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(min(wins, losses) + 1)) / 2**n
    return min(1.0, 2 * tail)


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean paired difference, first less second.

    Attributes:
        mean: of the differences.
        stderr: of that mean.
        n: pairs.
        p: McNemar's exact p-value where the values are right or wrong, else None.
    """

    mean: float
    stderr: float
    n: int
    p: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the difference is more than two standard errors from 0.

        For right-or-wrong values McNemar's p must be below 0.05 too: with few pairs that
        all fall one way the standard error is 0, and proves nothing.
        """
        if self.n < 2 or abs(self.mean) <= 2 * self.stderr:
            return False
        return self.p is None or self.p < 0.05


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The mean difference of two values measured on the same samples, in the same order."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    p = None
    if all(v in (0, 1) for v in (*first, *second)):
        p = mcnemar(sum(d > 0 for d in differences), sum(d < 0 for d in differences))
    return Difference(mean(differences), mean_stderr(differences), len(differences), p)
