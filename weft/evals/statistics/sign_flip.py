"""The test for paired differences that assumes no distribution: their signs might be others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from weft.evals.statistics.plain import student_p

_MOST = 50_000  # steps of an exact computation, some hundredths of a second


def sign_flip_p(sums: Sequence[float]) -> float:
    """The two-sided p-value that each of the sums had its sign by chance.

    If two strategies are equally good on each cluster of problems, the sum of a cluster's
    differences is as likely to have the other sign. How extreme the total is among all choices of
    signs is then an exact p-value (Fisher 1935). With one pair in each cluster it is McNemar's
    exact test (1947).

    Whole numbers are counted exactly. Others, and too many, are tested by Student's t; no p-value
    is below what the least likely choice of signs can give.
    """
    moved = [abs(s) for s in sums if s]
    if not moved:
        return 1.0
    total = abs(math.fsum(sums))
    if all(float(s).is_integer() for s in moved):
        if len(set(moved)) == 1:
            return _binomial_p(len(moved), round(total / moved[0]))
        if len(moved) * sum(moved) <= _MOST:
            return _counted_p([int(s) for s in moved], int(total))
    n, centre = len(sums), math.fsum(sums) / len(sums)
    variance = math.fsum((s - centre) ** 2 for s in sums) / (n - 1) / n if n > 1 else 0.0
    t = abs(centre) / math.sqrt(variance) if variance > 0 else math.inf
    return min(1.0, max(student_p(t, max(n - 1, 1)), 2.0 ** (1 - min(len(moved), 1000))))


def _binomial_p(n: int, gap: int) -> float:
    """P(|heads - tails| >= gap) of n fair coins."""
    if gap == 0:
        return 1.0
    fewest = (n - gap) // 2
    # From the largest term down, as a share of it, so that nothing overflows.
    term, total = 1.0, 1.0
    for i in range(fewest, 0, -1):
        term *= i / (n - i + 1)
        total += term
        if term < 1e-17:
            break
    log = math.lgamma(n + 1) - math.lgamma(fewest + 1) - math.lgamma(n - fewest + 1)
    return min(1.0, 2 * total * math.exp(log - n * math.log(2)))


def _counted_p(sizes: Sequence[int], total: int) -> float:
    """P(|sum of +- sizes| >= total), by adding one size after the other."""
    odds = [1.0]  # of a sum of -(len - 1) + 2 i, halved steps of all sizes so far
    for size in sizes:
        longer = [0.0] * (len(odds) + size)
        for i, p in enumerate(odds):
            if p:
                longer[i] += p / 2
                longer[i + size] += p / 2
        odds = longer
    top = len(odds) - 1
    return min(1.0, math.fsum(p for i, p in enumerate(odds) if abs(2 * i - top) >= total))
