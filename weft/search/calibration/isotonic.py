"""Isotonic regression: scores are made probabilities, of which only the order is believed."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from weft.errors import UsageError


@dataclass(frozen=True)
class Isotonic:
    """A function that never falls: of the squares' sum the least one through given points.

    Between points it is linear; below the first and above the last it is level.

    Attributes:
        xs: where it has a corner, smallest first.
        ys: its values there.
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]

    def __call__(self, x: float) -> float:
        """Its value."""
        at = bisect_right(self.xs, x)
        if at == 0:
            return self.ys[0]
        if at == len(self.xs):
            return self.ys[-1]
        x0, x1, y0, y1 = *self.xs[at - 1 : at + 1], *self.ys[at - 1 : at + 1]
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def isotonic(points: Iterable[tuple[float, float]]) -> Isotonic:
    """Fit it by pooling neighbours that fall (Ayer et al. 1955).

    Args:
        points: each an x and a y, such as a score and whether the answer was right.

    Raises:
        UsageError: there is no point.
    """
    blocks: list[tuple[float, float, float, int]] = []  # first x, last x, sum of y, points
    for x, same in groupby(sorted(points), key=lambda point: point[0]):
        ys = [y for _, y in same]
        first, last, total, count = x, x, math.fsum(ys), len(ys)
        while blocks and blocks[-1][2] * count >= total * blocks[-1][3]:
            first, _, below, more = blocks.pop()
            total, count = total + below, count + more
        blocks.append((first, last, total, count))
    if not blocks:
        raise UsageError("isotonic needs one point at least")
    corners: dict[float, float] = {}
    for first, last, total, count in blocks:
        corners[first] = corners[last] = total / count
    return Isotonic(tuple(corners), tuple(corners.values()))


def tells(right: Sequence[float], wrong: Sequence[float]) -> bool:
    """Whether a score tells right from wrong: its AUC is above 0.5 by two standard errors.

    The error is that of scores that tell nothing (Mann and Whitney 1947).
    """
    if not right or not wrong:
        return False
    error = math.sqrt((len(right) + len(wrong) + 1) / (12 * len(right) * len(wrong)))
    return auc(right, wrong) > 0.5 + 2 * error


def auc(right: Iterable[float], wrong: Iterable[float]) -> float:
    """With what probability a right one scores above a wrong one; ties count half.

    0.5 says that the score tells nothing, and is given where there is none of a kind.
    """
    ranked = sorted(
        [(score, 1) for score in right] + [(score, 0) for score in wrong],
    )
    pairs, wins, below = 0, 0.0, 0
    for _, same in groupby(ranked, key=lambda one: one[0]):
        kinds = [kind for _, kind in same]
        ups, downs = sum(kinds), len(kinds) - sum(kinds)
        wins += ups * (below + downs / 2)
        below, pairs = below + downs, pairs + ups
    return wins / (pairs * below) if pairs and below else 0.5
