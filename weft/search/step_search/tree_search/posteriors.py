"""What is believed of a mean score, given the scores found; for Thompson sampling."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from weft.search.step_search.tree_search.tree import Scores

Posterior = Callable[[Scores, random.Random], float]
"""Draws a mean score from what is believed of it."""


def beta(found: Scores, rng: random.Random) -> float:
    """Scores are shares of successes; Jeffreys' prior, Beta(1/2, 1/2)."""
    return rng.betavariate(0.5 + found.total, 0.5 + found.count - found.total)


def gaussian(found: Scores, rng: random.Random) -> float:
    """Scores are normal, of unknown mean and variance.

    The prior is normal-inverse-chi-squared with mean 0 and variance 0.1, each worth one score.
    """
    n, of_mean, of_variance = found.count, 1 + found.count, 1 + found.count
    mean = found.total / of_mean
    # Sum of squares about the mean, and what the prior's mean of 0 adds.
    spread = max(0.0, found.squares - found.total**2 / n) if n else 0.0
    shift = found.total**2 / n / of_mean if n else 0.0
    scale = 0.1 + spread + shift  # degrees of freedom times the variance's estimate
    variance = scale / 2 / rng.gammavariate(of_variance / 2, 1)
    return rng.gauss(mean, math.sqrt(variance / of_mean))


POSTERIORS: dict[str, Posterior] = {"gaussian": gaussian, "beta": beta}
"""By their names in specs."""
