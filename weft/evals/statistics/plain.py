"""Means, quantiles, and the tails of the normal and of Student's distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

NORMAL = NormalDist()
_EXACT = 400  # degrees of freedom from which the normal distribution is as good


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def quantile(values: Sequence[float], q: float) -> float:
    """The `q`-quantile by linear interpolation between order statistics; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def student_p(t: float, freedom: int | None) -> float:
    """The two-sided p-value of Student's t: P(|T| >= |t|).

    By the finite series of Abramowitz and Stegun (26.7.3 and 26.7.4).

    Args:
        t: the statistic, which may be infinite.
        freedom: degrees of freedom, at least 1; None is the normal distribution.
    """
    t = abs(t)
    if freedom is None:
        return 2 * NORMAL.cdf(-t)
    if freedom > _EXACT:
        # Their 26.7.8.
        z = t * (1 - 1 / (4 * freedom)) / math.sqrt(1 + t * t / (2 * freedom)) if t < 1e6 else t
        return 2 * NORMAL.cdf(-z)
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term, total = 1.0, 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= square * k / (k + 1)
    inside = math.sin(angle) * total * (math.cos(angle) if odd else 1.0)
    if odd:
        inside = 2 / math.pi * (angle + inside)
    return min(1.0, max(0.0, 1 - inside))


@lru_cache(maxsize=1024)
def critical(confidence: float, freedom: int | None = None) -> float:
    """How many standard errors an interval reaches to each side.

    Args:
        confidence: such as 0.95.
        freedom: of Student's distribution, at least 1; None is the normal distribution.
    """
    if freedom is None:
        return NORMAL.inv_cdf((1 + confidence) / 2)
    low, high = 0.0, 1.0
    while student_p(high, freedom) > 1 - confidence:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if student_p(middle, freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high
