"""Two Weibull distributions under a set of numbers, and which of the two each number is from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEAST_SHARE = 0.2
"""Neither part has less than this share of the numbers."""

_SHAPES = (0.01, 1000.0)
_LEAST_SCALE = 1e-9
_TINY = 1e-300
_ROUNDS = 300


class Weibull(NamedTuple):
    """A Weibull distribution."""

    shape: float
    scale: float

    @property
    def mean(self) -> float:
        """Its expectation."""
        return self.scale * math.gamma(1 + 1 / self.shape)

    def log_density(self, x: float) -> float:
        """The logarithm of the density at x > 0."""
        z = math.log(x / self.scale)
        power = math.exp(min(self.shape * z, 700.0))
        return math.log(self.shape / self.scale) + (self.shape - 1) * z - power


@dataclass(frozen=True)
class TwoWeibulls:
    """A mixture of two; `high` is the one with the larger mean.

    Attributes:
        low: the one with the smaller mean.
        high: the one with the larger mean.
        share: of `high` in the mixture.
    """

    low: Weibull
    high: Weibull
    share: float

    def is_high(self, x: float) -> float:
        """The probability that x is from `high`."""
        x = max(x, _TINY)
        ahead = math.log(self.share) + self.high.log_density(x)
        behind = math.log(1 - self.share) + self.low.log_density(x)
        return 1 / (1 + math.exp(max(-700.0, min(behind - ahead, 700.0))))


def two_weibulls(numbers: Sequence[float]) -> TwoWeibulls | None:
    """The mixture under which the numbers are likeliest, by expectation and maximisation.

    The search starts at one Weibull of shape and scale 1 and one of 1.5 and 2, as RPC's does
    (Zhou et al. 2025). None if the numbers don't differ.

    Args:
        numbers: at least 0.
    """
    xs = [max(x, _TINY) for x in numbers]
    if not xs or min(xs) == max(xs):
        return None
    parts, share = [Weibull(1.0, 1.0), Weibull(1.5, 2.0)], 0.5
    before = -math.inf
    for _ in range(_ROUNDS):
        first: list[float] = []  # how surely each number is of the first part
        total = 0.0
        for x in xs:
            a = math.log(share) + parts[0].log_density(x)
            b = math.log(1 - share) + parts[1].log_density(x)
            most = max(a, b)
            both = most + math.log(math.exp(a - most) + math.exp(b - most))
            first.append(math.exp(a - both))
            total += both
        if total - before < 1e-9 * len(xs):
            break
        before = total
        share = min(1 - LEAST_SHARE, max(LEAST_SHARE, math.fsum(first) / len(xs)))
        parts = [
            _likeliest(xs, first, parts[0].shape),
            _likeliest(xs, [1 - w for w in first], parts[1].shape),
        ]
    if parts[0].mean > parts[1].mean:
        return TwoWeibulls(parts[1], parts[0], share)
    return TwoWeibulls(parts[0], parts[1], 1 - share)


def _likeliest(xs: Sequence[float], weights: Sequence[float], shape: float) -> Weibull:
    """The Weibull under which weighted numbers are likeliest; `shape` is where to begin."""
    top = max(xs)
    logs = [math.log(x / top) for x in xs]
    weight = math.fsum(weights) or _TINY
    mean = math.fsum(w * z for w, z in zip(weights, logs, strict=True)) / weight
    low, high = _SHAPES
    # The derivative of the likelihood by the shape crosses 0 once: Newton within a bracket.
    for _ in range(60):
        s0 = s1 = s2 = 0.0
        for w, z in zip(weights, logs, strict=True):
            one = w * math.exp(shape * z)
            s0 += one
            s1 += one * z
            s2 += one * z * z
        s0 = s0 or _TINY
        slope = s1 / s0 - 1 / shape - mean
        if slope > 0:
            high = shape
        else:
            low = shape
        step = slope / (s2 / s0 - (s1 / s0) ** 2 + 1 / shape**2)
        after = shape - step
        if not low < after < high:
            after = math.sqrt(low * high)
        if abs(after - shape) < 1e-9 * shape:
            break
        shape = after
    s0 = math.fsum(w * math.exp(shape * z) for w, z in zip(weights, logs, strict=True)) or _TINY
    return Weibull(shape, max(_LEAST_SCALE, top * (s0 / weight) ** (1 / shape)))
