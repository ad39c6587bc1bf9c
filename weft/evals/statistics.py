"""What an evaluation may claim: accuracies and differences with their standard errors.

Everything here is a plain function of numbers, without numpy, so that it is quick to import.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
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


def clustered_stderr(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Standard error of a mean whose values come in dependent groups (Miller 2024).

    Several samples of one problem are a cluster. With one value a cluster this is the
    standard error that takes the values as independent, `sqrt(sum((v - mean)^2)) / n`.
    """
    if len(values) != len(clusters):
        raise ValueError("values and clusters must have the same length")
    if not values:
        return 0.0
    centre = mean(values)
    sums: dict[Hashable, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - centre
    return math.sqrt(math.fsum(s * s for s in sums.values())) / len(values)


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of Wilson (1927) for a share: sensible at 0 and 1, where stderr is 0."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that one of `k` samples is correct, unbiased, from `n` samples.

    The product form of Chen et al. 2021, `1 - prod(1 - k / i for i in n-c+1..n)`.

    Raises:
        ValueError: unless `0 <= correct <= n` and `1 <= k <= n`.
    """
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(
            f"pass@k needs 0 <= correct <= n and 1 <= k <= n, not {correct=} {n=} {k=}"
        )
    if n - correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - correct + 1, n + 1))


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


def bootstrap(
    differences: Sequence[float], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of a mean by resampling (Efron 1979); for skewed values."""
    if not differences:
        return 0.0, 0.0
    rng = random.Random(seed)
    means = [mean(rng.choices(differences, k=len(differences))) for _ in range(resamples)]
    return quantile(means, (1 - level) / 2), quantile(means, (1 + level) / 2)
