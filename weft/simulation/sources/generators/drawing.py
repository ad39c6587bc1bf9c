"""Random numbers for generators."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from statistics import NormalDist

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
_normal = NormalDist()


class Quantiles:
    """A distribution given by its quantiles at `LEVELS`, log-linear between them.

    Args:
        values: the quantiles, in order; none is negative.
    """

    def __init__(self, *values: float) -> None:
        self._logs = [math.log1p(value) for value in values]

    def at(self, level: float) -> float:
        """The quantile at a level from 0 to 1."""
        i = min(bisect_right(LEVELS, level), len(LEVELS) - 1)
        low, high = LEVELS[i - 1], LEVELS[i]
        share = (level - low) / (high - low)
        return math.expm1(self._logs[i - 1] * (1 - share) + self._logs[i] * share)

    def draw(self, score: float) -> float:
        """The value for a standard normal score: correlated scores give correlated values."""
        return self.at(_normal.cdf(score))


class Draws:
    """The random numbers of one job, the same whichever other jobs are drawn.

    Args:
        name: of the generator.
        seed: of the workload.
        job: the job's number.
    """

    def __init__(self, name: str, seed: int, job: int) -> None:
        self.random = random.Random(f"{name}:{seed}:{job}")

    def normal(self) -> float:
        """A standard normal score."""
        return self.random.gauss(0.0, 1.0)

    def near(self, score: float, correlation: float) -> float:
        """A standard normal score that correlates with another."""
        return correlation * score + math.sqrt(1 - correlation**2) * self.normal()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def lognormal(self, median: float, sigma: float, score: float | None = None) -> float:
        """Log-normally distributed.

        Args:
            median: the median.
            sigma: standard deviation of the logarithm.
            score: a standard normal score to take the value for; drawn if not given.
        """
        return median * math.exp(sigma * (self.normal() if score is None else score))

    def tokens(self, median: float, sigma: float, score: float | None = None) -> int:
        """A log-normally distributed number of tokens, at least 1."""
        return max(1, round(self.lognormal(median, sigma, score)))

    def popular(self, weights: Sequence[float]) -> int:
        """An index, drawn by its weight."""
        return self.random.choices(range(len(weights)), weights)[0]
