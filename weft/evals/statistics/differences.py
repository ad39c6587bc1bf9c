"""Paired differences: two strategies on the same problems."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from weft.evals.statistics.clusters import cluster_sums, effective, mean_stderr
from weft.evals.statistics.intervals import CONFIDENCE, freedom, tango, tango_z
from weft.evals.statistics.plain import critical, mean, student_p
from weft.evals.statistics.power import pairs_needed
from weft.evals.statistics.sign_flip import sign_flip_p

LEVEL = 1 - CONFIDENCE
"""The chance of a false alarm that all claims of a report may have together."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean paired difference, first less second.

    Attributes:
        mean: of the differences.
        stderr: of that mean, for which clusters count and not pairs.
        n: pairs.
        p: the two-sided p-value that it is 0, see `sign_flip_p`; 1 for fewer than two clusters.
        wins: the sum of what is above 0, for values from 0 to 1; else 0, as `losses`.
        losses: the sum of what is below 0, as a number above 0.
        size: how many independent pairs they are worth; 0 for values that are no shares.
        freedom: degrees of freedom of its interval; None for the normal distribution's.
    """

    mean: float
    stderr: float
    n: int
    p: float
    wins: float = 0.0
    losses: float = 0.0
    size: float = 0.0
    freedom: int | None = None

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Where the true difference lies with this confidence.

        Tango's interval for shares, Student's for others; without end if there is one cluster.
        """
        z = critical(confidence, self.freedom)
        if self.size:
            worth = self.size / self.n
            return tango(worth * self.wins, worth * self.losses, self.size, z)
        if self.freedom is None:
            return (-math.inf, math.inf)
        return self.mean - z * self.stderr, self.mean + z * self.stderr

    def p_below(self, margin: float) -> float:
        """Twice the one-sided p-value that shares are `margin` below, or more; small if not."""
        if not self.size:
            return 1.0
        worth = self.size / self.n
        z = tango_z(worth * self.wins, worth * self.losses, self.size, -margin)
        return 1.0 if z <= 0 else student_p(z, self.freedom)

    def needed(self, difference: float, level: float = LEVEL) -> float:
        """Times as many problems as there are, for a difference of shares to be seen.

        See `pairs_needed`.
        """
        differ = (self.wins + self.losses) / self.n if self.n else 0.0
        return pairs_needed(difference, differ, level) / self.size if self.size else math.inf


def paired(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> Difference:
    """The mean difference of two values measured on the same samples, in the same order.

    Args:
        first: of each sample.
        second: of each sample.
        clusters: of each sample; each its own if None.
    """
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    n = len(gaps)
    groups = list(range(n)) if clusters is None else list(clusters)
    alone = len(set(groups)) == n
    sums = cluster_sums(gaps, groups)
    p = sign_flip_p(sums) if len(sums) > 1 else 1.0
    centre, stderr = mean(gaps), mean_stderr(gaps, groups)
    if not n or not all(0 <= v <= 1 for v in (*first, *second)):
        return Difference(centre, stderr, n, p, freedom=len(sums) - 1 if len(sums) > 1 else None)
    wins = math.fsum(g for g in gaps if g > 0)
    losses = math.fsum(-g for g in gaps if g < 0)
    independent = n / max(n - 1, 1) * (wins + losses - (wins - losses) ** 2 / n)
    size = effective(gaps, groups, independent)
    return Difference(centre, stderr, n, p, wins, losses, size, freedom(gaps, groups, alone=alone))
