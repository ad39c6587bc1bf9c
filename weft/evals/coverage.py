"""Coverage: the share of problems that at least one of k samples solves (pass@k).

Coverage is what a perfect choice among the samples would reach, and never an accuracy: no
strategy without an exact check does as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from weft.errors import UsageError
from weft.evals.statistics import Share, mean, share
from weft.evals.statistics.intervals import CONFIDENCE
from weft.evals.statistics.plain import critical

_BLOCKS = 200  # as many jackknife estimates as anyone needs


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The probability that at least one of k samples is right, estimated without bias.

    1 - C(n - correct, k) / C(n, k): the share of the choices of k among the n samples that have a
    right one (Chen et al. 2021; Large Language Monkeys, Brown et al. 2024).

    Args:
        n: samples that were drawn.
        correct: how many of them are right.
        k: how many would be drawn; at most n.

    Raises:
        UsageError: not 0 <= correct <= n, or not 1 <= k <= n.
    """
    if not 0 <= correct <= n:
        raise UsageError(f"correct={correct} of pass_at_k must be from 0 to n={n}")
    if not 1 <= k <= n:
        raise UsageError(f"k={k} of pass_at_k must be from 1 to n={n}; draw at least k samples")
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def coverage(counts: Sequence[tuple[int, int]], k: int) -> float:
    """The mean of `pass_at_k` over problems.

    Args:
        counts: of each problem, how many samples were drawn and how many are right.
        k: how many samples a problem would have.

    Raises:
        UsageError: there is no problem, or a problem has fewer than k samples.
    """
    if not counts:
        raise UsageError("coverage needs the counts of at least one problem")
    return mean([pass_at_k(n, correct, k) for n, correct in counts])


def coverage_law(points: Mapping[int, float]) -> tuple[float, float]:
    """The a and b of coverage(k) = exp(a k^b), which is how coverage grows (Brown et al. 2024).

    Fitted by least squares of log(-log coverage) on log k.

    Args:
        points: coverage by k; points at 0 or 1 have no logarithm and are left out.

    Raises:
        UsageError: fewer than two points are left.
    """
    fitted = {k: c for k, c in points.items() if 0 < c < 1}
    if len(fitted) < 2:
        raise UsageError("coverage_law needs two points or more with a coverage between 0 and 1")
    x = [math.log(k) for k in fitted]
    y = [math.log(-math.log(c)) for c in fitted.values()]
    x0, y0 = mean(x), mean(y)
    b = math.fsum((u - x0) * (v - y0) for u, v in zip(x, y, strict=True))
    b /= math.fsum((u - x0) ** 2 for u in x)
    return -math.exp(y0 - b * x0), b


def saturation(p: float, tolerance: float = 0.01, most: float = 1.0) -> int:
    """How many samples are worth drawing: from here on one more adds less than `tolerance`.

    If a sample solves a problem with probability p, coverage(n) = most (1 - (1 - p)^n). The n-th
    sample's successor adds most p (1 - p)^n to it (TTSPM, Wang et al. 2025).

    Args:
        p: the probability that a sample solves the problem.
        tolerance: what a further sample must add to be worth it.
        most: what coverage tends to.

    Raises:
        UsageError: an argument is out of range.
    """
    if not 0 <= p <= 1 or not 0 < most <= 1 or tolerance <= 0:
        raise UsageError(
            f"p={p:g} and most={most:g} of saturation must be from 0 to 1, and "
            f"tolerance={tolerance:g} above 0"
        )
    if most * p <= tolerance or p == 1:
        return 1
    return max(1, math.ceil(math.log(tolerance / (most * p)) / math.log1p(-p) - 1e-9))


def saturation_after(right: int, drawn: int, tolerance: float = 0.01) -> int:
    """`saturation` of a problem of which a pilot is known.

    The probability is the mean of its Beta posterior, (right + 1) / (drawn + 2).

    Args:
        right: how many samples of the pilot are right.
        drawn: how many there are.
        tolerance: what a further sample must add to be worth it.

    Raises:
        UsageError: an argument is out of range.
    """
    if not 0 <= right <= drawn:
        raise UsageError(f"right={right} of saturation_after must be from 0 to drawn={drawn}")
    return saturation((right + 1) / (drawn + 2), tolerance)


@dataclass(frozen=True)
class DrawnCounts:
    """How many answers to each problem were drawn, and how many of them are right.

    Attributes:
        counts: of each problem, the two numbers.
        clusters: of each problem, what it is not independent of.
    """

    counts: tuple[tuple[int, int], ...]
    clusters: tuple[str, ...]

    @property
    def ks(self) -> list[int]:
        """1, 2, 4 ... up to the fewest answers that a problem has."""
        most = min(n for n, _ in self.counts)
        return [2**i for i in range(most.bit_length())]

    def at(self, k: int) -> Share:
        """Coverage of k answers, with its interval."""
        values = [pass_at_k(n, right, k) for n, right in self.counts]
        return share(values, self.clusters, sum(n for n, _ in self.counts) / k)

    def law(self, most: int | None = None) -> tuple[float, float] | None:
        """The a and b of `coverage_law`; None if it can't be fitted.

        Args:
            most: the largest k that is used; None is all.
        """
        ks = [k for k in self.ks if most is None or k <= most]
        points = {k: coverage(self.counts, k) for k in ks}
        return coverage_law(points) if sum(0 < c < 1 for c in points.values()) > 1 else None

    def extrapolated(self, k: int, most: int | None = None) -> Share | None:
        """Coverage of k answers by the law, with the error that comes of there being few problems.

        The error is that of a jackknife over clusters (Efron and Stein 1981), on the scale on
        which the law is a line. It does not tell whether the law holds so far.

        Args:
            k: how many answers a problem would have.
            most: the largest k that is used; None is all.

        Returns:
            None if the law can't be fitted, or there is one cluster only.
        """
        points = {j: coverage(self.counts, j) for j in self.ks if most is None or j <= most}
        ks = [j for j, c in points.items() if 0 < c < 1]
        names = list(dict.fromkeys(self.clusters))
        block = {name: i % _BLOCKS for i, name in enumerate(names)}
        parts = [[0.0] * (len(ks) + 1) for _ in range(min(len(names), _BLOCKS))]
        for (n, right), cluster in zip(self.counts, self.clusters, strict=True):
            part = parts[block[cluster]]
            part[-1] += 1
            for i, j in enumerate(ks):
                part[i] += pass_at_k(n, right, j)
        if len(ks) < 2 or len(parts) < 2:
            return None
        whole = [math.fsum(column) for column in zip(*parts, strict=True)]
        least = 1 / (2 * len(names))  # without the only problem that was not solved, say
        lines: list[float] = []
        for left_out in ([0.0] * (len(ks) + 1), *parts):
            *sums, problems = (w - x for w, x in zip(whole, left_out, strict=True))
            shares = {j: s / problems for j, s in zip(ks, sums, strict=True)}
            a, b = coverage_law({j: min(max(c, least), 1 - least) for j, c in shares.items()})
            lines.append(math.log(-a) + b * math.log(k))
        line, others = lines[0], lines[1:]
        g, centre = len(others), mean(others)
        stderr = math.sqrt((g - 1) / g * math.fsum((x - centre) ** 2 for x in others))
        reach = critical(CONFIDENCE, max(g - 1, 1)) * stderr
        value = _covered(line)
        return Share(
            value, value * math.exp(line) * stderr, _covered(line + reach), _covered(line - reach)
        )


def _covered(line: float) -> float:
    """The coverage whose log(-log) is this."""
    return math.exp(-math.exp(min(line, 700.0)))
