"""Piecewise: a distribution laid out so that questions are answered in logarithmic time."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

_NEAR, _FAR = 1e-9, 1e15  # nothing is smaller or larger as far as weft is concerned
_FINE, _FURTHER = 4, 40  # times beyond all experience that are looked at: to the octave, in all
_TIMES = [2 ** (i / _FINE) for i in range(1, _FURTHER)]
_LEVELS = 32  # of the chance of a return that are told apart

Holds = tuple[list[float], list[tuple[float, float]]]
"""Slopes that fall, negated, and the times with their shares between them."""


@dataclass(slots=True)
class Piecewise:
    """A distribution as uniform pieces in rising order, laid out for questions.

    Weights are in samples. `beyond` and `rest` are sums from the right, so that the tail is
    exact: at a piece's upper end, the weight above it, and the integral of that from there on.

    Attributes:
        low, high: ends of the pieces; equal if all of a piece's samples were.
        mass: their weights.
        beyond: weight above `high`.
        rest: the integral of the weight above y, over y from `high` to infinity.
        hull: of each piece, the next on the concave hull of (-rest, -beyond) that begins there,
            the imagined sample included; `len(high)` stands for infinity. Made when needed,
            with `ends`, those points.
        steps: see `points`; made when needed.
        indices: see `gittins`; those that were asked for.
        holds: see `hold`, by the level of the chance of a return; made when needed.
    """

    low: list[float]
    high: list[float]
    mass: list[float]
    beyond: list[float]
    rest: list[float]
    total: float
    mean: float
    hull: list[int] = field(default_factory=list[int])
    ends: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    steps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    indices: dict[float, float] = field(default_factory=dict[float, float])
    holds: dict[int, Holds] = field(default_factory=lambda: {})

    @classmethod
    def lay(cls, buckets: Iterable[tuple[float, float, float, float, float]]) -> Piecewise:
        """A piece for each bucket, with its mean and variance.

        Args:
            buckets: bottom, top, weight, mean and variance of each, in rising order.
        """
        low: list[float] = []
        high: list[float] = []
        mass: list[float] = []
        edge = 0.0
        for bottom, top, weight, mean, variance in buckets:
            half = 0.0
            if variance > 0:
                half = max(0.0, min(math.sqrt(3 * variance), mean - bottom, top - mean))
            begin = mean - half
            if begin < edge:
                begin = edge
            low.append(begin)
            edge = mean + half
            if edge < begin:
                edge = begin
            high.append(edge)
            mass.append(weight)
        count = len(high)
        beyond, rest = [0.0] * count, [0.0] * count
        above = area = 0.0
        for i in range(count - 1, -1, -1):
            beyond[i], rest[i] = above, area
            area += (above + mass[i] / 2) * (high[i] - low[i])
            above += mass[i]
            area += above * (low[i] - (high[i - 1] if i else 0.0))
        return cls(low, high, mass, beyond, rest, above, max(area / above, _NEAR))

    def points(self) -> list[tuple[float, float]]:
        """Upper ends of the pieces, with the share of all weight up to there."""
        if not self.steps:
            shares = (1.0 - beyond / self.total for beyond in self.beyond)
            self.steps = list(zip(self.high, shares, strict=True))
        return self.steps

    def at(self, x: float) -> tuple[float, float]:
        """The weight above x, and its integral from x on."""
        i = bisect_right(self.high, x)
        if i == len(self.high):
            return 0.0, 0.0
        low, high, mass, beyond = self.low[i], self.high[i], self.mass[i], self.beyond[i]
        if x < low:
            inner = self.rest[i] + (beyond + mass / 2) * (high - low)
            return beyond + mass, inner + (beyond + mass) * (low - x)
        left = mass * (high - x) / (high - low)
        return beyond + left, self.rest[i] + (beyond + left / 2) * (high - x)

    def padded(self, x: float) -> tuple[float, float]:
        """The same with the imagined sample."""
        x = min(max(x, 0.0), _FAR)
        beyond, rest = self.at(x)
        share = self.mean / (self.mean + x)
        return beyond + share * share, rest + self.mean * share

    def quantile(self, p: float) -> float:
        """Where the weight above falls to 1 - p of all."""
        above = (1.0 - p) * self.total
        # `beyond` falls: the first piece at whose end no more than this is above.
        i = bisect_left(self.beyond, -above, key=float.__neg__)
        i = min(i, len(self.high) - 1)
        left = (above - self.beyond[i]) / self.mass[i]
        return self.high[i] - min(max(left, 0.0), 1.0) * (self.high[i] - self.low[i])

    def gittins(self, x: float) -> float:
        """The steepest way from x's point to one on the hull of those that lie further on."""
        found = self.indices.get(x)
        if found is None:
            found = self.indices[x] = self._steepest(x)
        return found

    def _steepest(self, x: float) -> float:
        if not self.hull:
            self._round()
        above = self.at(x)[0]
        beyond, rest = self.padded(x)
        best, last = 0.0, len(self.high)
        i = bisect_left(self.beyond, max(8.0, above / 16) - above, key=float.__neg__)
        while i < last:
            slope = _slope((beyond, rest), self.ends[i])
            if slope < best:  # along a concave hull slopes rise to one maximum, then fall
                return best
            best = slope
            i = self.hull[i]
        return max(best, beyond / rest)

    def hold(self, price: float, back: float) -> tuple[float, float]:
        """See `Distribution.hold`: where the hull of (E[min(X, t)], P(X <= t)) gets too flat."""
        level = round(back * _LEVELS)
        falls, stays = self.holds.get(level) or self._flatten(level)
        return stays[bisect_left(falls, -price)]

    def _flatten(self, level: int) -> Holds:
        """Make the concave hull of those points from the left, and its slopes, negated."""
        hull, falls = [(0.0, 0.0, 0.0)], list[float]()
        total, whole, last, mean = self.total + 1, self.padded(0.0)[1], self.high[-1], self.mean
        back = level / _LEVELS
        away, each = 1 - back, back / total
        for seconds, beyond, rest in (
            *zip(self.high, self.beyond, self.rest, strict=True),
            *[(last * times, 0.0, 0.0) for times in _TIMES],
        ):
            share = mean / (mean + seconds)  # of the imagined sample, as `padded` has it
            upto = back - each * (beyond + share * share)
            cost = each * (whole - rest - mean * share) + away * seconds
            while True:
                run, rise = cost - hull[-1][0], upto - hull[-1][1]
                fall = -rise / run if run > 0 else -math.inf
                if not falls or falls[-1] < fall:
                    break
                hull.pop()
                falls.pop()
            hull.append((cost, upto, seconds))
            falls.append(fall)
        found = self.holds[level] = falls, [(seconds, share) for _, share, seconds in hull]
        return found

    def _round(self) -> None:
        """Make the hull, from the right."""
        count, mean = len(self.high), self.mean
        self.ends = ends = [(0.0, 0.0)] * (count + 1)
        self.hull = hull = [count] * count
        for i in range(count - 1, -1, -1):
            share = mean / (mean + self.high[i])
            ends[i] = end = (self.beyond[i] + share * share, self.rest[i] + mean * share)
            j = min(i + 1, count)
            slope = _slope(end, ends[j])
            while j < count and (further := _slope(end, ends[hull[j]])) >= slope:
                j, slope = hull[j], further
            hull[i] = j


def _slope(near: tuple[float, float], far: tuple[float, float]) -> float:
    run = near[1] - far[1]
    return (near[0] - far[0]) / run if run > 0 else 0.0
