"""The Bayesian mixed model of AB-MCTS-M: scores of a child's subtree have something in common.

A score below child j is normal about the child's level, and levels are normal about a mean:

    y ~ N(level_j, noise^2), level_j ~ N(mean, spread^2)
    mean ~ N(0.5, 0.2^2), spread ~ |N(0, 0.2^2)|, noise ~ |N(0, 0.3^2)|

The paper samples the posterior by NUTS. Given spread and noise all is Gaussian, so here these two
are taken from a grid of equal prior mass, with the exact likelihood of the scores as weights, and
all else is drawn exactly. Source: Inoue et al. 2025, "Wider or Deeper?".
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from weft.search.step_search.tree_search.tree import Scores

_MEAN, _OF_MEAN, _OF_SPREAD, _OF_NOISE = 0.5, 0.2, 0.2, 0.3
_STEPS = 8
"""Values of spread and of noise that are taken into account."""


def _half_normal(scale: float) -> list[float]:
    """Values of equal prior mass."""
    normal = NormalDist(0.0, scale)
    return [normal.inv_cdf(0.5 + 0.5 * (i + 0.5) / _STEPS) for i in range(_STEPS)]


_CELLS = [(s, n) for s in _half_normal(_OF_SPREAD) for n in _half_normal(_OF_NOISE)]


@dataclass(frozen=True, slots=True)
class MixedModel:
    """What is believed of children and of a new child, given the scores below each.

    Attributes:
        groups: of each child, the scores below it; at least one each.
        cells: of spread and noise, pairs.
        weights: how likely each pair is, up to a factor.
    """

    groups: Sequence[Scores]
    cells: Sequence[tuple[float, float]]
    weights: Sequence[float]

    @classmethod
    def of(cls, groups: Sequence[Scores]) -> MixedModel:
        """The posterior given scores."""
        logs = [_likelihood(groups, spread, noise) for spread, noise in _CELLS]
        most = max(logs)
        return cls(groups, _CELLS, [math.exp(log - most) for log in logs])

    def draw(self, rng: random.Random) -> tuple[list[float], float]:
        """A score below each child and one of a new child, from one draw of the posterior."""
        spread, noise = rng.choices(self.cells, self.weights)[0]
        precision, middle = _mean(self.groups, spread, noise)
        mean = rng.gauss(middle, precision**-0.5)
        found: list[float] = []
        for group in self.groups:
            sure = 1 / spread**2 + group.count / noise**2
            level = (mean / spread**2 + group.total / noise**2) / sure
            found.append(rng.gauss(rng.gauss(level, sure**-0.5), noise))
        return found, rng.gauss(rng.gauss(mean, spread), noise)


def _mean(groups: Sequence[Scores], spread: float, noise: float) -> tuple[float, float]:
    """Precision and mean of the posterior of `mean`, which is normal."""
    precision = _OF_MEAN**-2
    weighted = _MEAN * precision
    for group in groups:
        weight = 1 / (spread**2 + noise**2 / group.count)
        precision += weight
        weighted += weight * group.total / group.count
    return precision, weighted / precision


def _likelihood(groups: Sequence[Scores], spread: float, noise: float) -> float:
    """The logarithm of the scores' density, with mean and levels integrated out."""
    precision, middle = _mean(groups, spread, noise)
    log = 0.5 * (precision * middle**2 - (_MEAN / _OF_MEAN) ** 2) - 0.5 * math.log(precision)
    for group in groups:
        n, average = group.count, group.total / group.count
        weight = 1 / (spread**2 + noise**2 / n)
        inside = max(0.0, group.squares - n * average**2)
        log += 0.5 * (math.log(weight) - weight * average**2 - inside / noise**2)
        log -= (n - 1) * math.log(noise) + 0.5 * math.log(n)
    return log
