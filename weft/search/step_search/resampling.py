"""Resampling: particles are redrawn by their weights, each n w times in the mean.

The schemes differ in how far the numbers of copies stray from their means (Douc, Cappé and
Moulines 2005).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate


def multinomial(weights: Sequence[float], rng: random.Random) -> list[int]:
    """As many independent draws of an index as there are weights."""
    return rng.choices(range(len(weights)), weights, k=len(weights))


def stratified(weights: Sequence[float], rng: random.Random) -> list[int]:
    """One draw of an index from each n-th part of the weights, independent of each other."""
    n = len(weights)
    return _at(weights, ((i + rng.random()) / n for i in range(n)))


def systematic(weights: Sequence[float], rng: random.Random) -> list[int]:
    """Draws of an index at even distances from one random start, as many as there are weights.

    Each index comes up floor(n w) or ceil(n w) times.
    """
    n, start = len(weights), rng.random()
    return _at(weights, ((i + start) / n for i in range(n)))


def _at(weights: Sequence[float], places: Iterable[float]) -> list[int]:
    """The indices in whose parts of all weight the places lie, which ascend from 0 to 1."""
    ends = list(accumulate(weights))
    last = max(i for i, weight in enumerate(weights) if weight > 0)
    drawn: list[int] = []
    index = 0
    for place in places:
        # Scaling by the sum makes up for weights that add up to 1 but for rounding.
        while index < last and place * ends[-1] >= ends[index]:
            index += 1
        drawn.append(index)
    return drawn


Resampling = Callable[[Sequence[float], random.Random], list[int]]

RESAMPLING: dict[str, Resampling] = {
    "multinomial": multinomial,
    "stratified": stratified,
    "systematic": systematic,
}
"""The schemes by their names in specs."""
