"""Intervals that a share, or a difference of paired shares, lies in with a given confidence.

They invert a test, so one of one is not `100.0 ± 0.0`: its interval is 20.7 to 100 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from weft.evals.statistics.clusters import effective, mean_stderr
from weft.evals.statistics.plain import critical, mean

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """A mean of values from 0 to 1, and how sure it is.

    Attributes:
        value: the mean; 0 of nothing.
        stderr: its standard error, for which clusters count and not values.
        low: where its interval of 95 % begins.
        high: where its interval of 95 % ends.
    """

    value: float
    stderr: float
    low: float
    high: float

    def __str__(self) -> str:
        """In per cent: `50.0 [29.9, 70.1]`."""
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def share(
    values: Sequence[float], clusters: Sequence[Hashable], most: float | None = None
) -> Share:
    """The mean of values from 0 to 1, with Wilson's interval.

    Args:
        values: right or wrong as 1 and 0, or credit between.
        clusters: of each value; those of one cluster are not independent.
        most: if values are means of several answers, of how many in all.
    """
    if not values:
        return Share(0.0, 0.0, 0.0, 1.0)
    n, p = len(values), mean(values)
    alone = most is None and len(set(clusters)) == n
    size = effective(values, clusters, n / max(n - 1, 1) * n * p * (1 - p), most)
    low, high = wilson(p, size, critical(CONFIDENCE, freedom(values, clusters, alone=alone)))
    return Share(p, mean_stderr(values, clusters), low, high)


def freedom(values: Sequence[float], clusters: Sequence[Hashable], *, alone: bool) -> int | None:
    """Degrees of freedom of an interval; None where the variance was not estimated.

    It was not if each value is a cluster of its own, and could not be if nothing varies.
    """
    groups = len(set(clusters))
    if alone or groups < 2 or len(set(values)) == 1:
        return None
    return groups - 1


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share (1927).

    Args:
        p: the share observed.
        n: independent trials; a number that clustered ones are worth need not be whole (Korn and
            Graubard 1998).
        z: standard errors to each side.
    """
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding must not take the share itself out of its interval.
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))


def tango_z(wins: float, losses: float, n: float, difference: float) -> float:
    """Tango's score (1998): how far paired shares are from a difference, in standard errors.

    The standard error is that under the difference, so it is not 0 where all pairs agree.

    Args:
        wins: pairs of which only the first is right.
        losses: pairs of which only the second is right.
        n: all pairs.
        difference: of the first share less the second, that is tested.
    """
    if difference < 0:
        return -tango_z(losses, wins, n, -difference)
    gap = wins - losses - n * difference
    a, b = 2 * n, difference * (2 * n - wins + losses) - (wins + losses)
    c = -losses * difference * (1 - difference)
    # The likeliest share of losses under the difference.
    lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * lost + difference * (1 - difference))
    if variance <= 1e-12 * n:
        return 0.0 if abs(gap) <= 1e-9 * n else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def tango(wins: float, losses: float, n: float, z: float) -> tuple[float, float]:
    """The differences of paired shares that Tango's score does not rule out.

    Args:
        wins: pairs of which only the first is right.
        losses: pairs of which only the second is right.
        n: all pairs.
        z: standard errors to each side.
    """
    centre = (wins - losses) / n
    low = _edge(lambda d: tango_z(wins, losses, n, d) > z, -1.0, centre)
    high = _edge(lambda d: tango_z(wins, losses, n, d) > -z, centre, 1.0)
    return low, high


def _edge(beyond: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that holds below some place ceases to hold."""
    for _ in range(40):
        middle = (low + high) / 2
        if beyond(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
