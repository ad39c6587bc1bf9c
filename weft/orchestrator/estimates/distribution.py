"""Distribution: what positive numbers were like lately, in constant room and time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from weft.errors import UsageError
from weft.orchestrator.estimates.piecewise import Piecewise

_PER_OCTAVE = 8  # buckets: neighbours differ by 9%
_PER_LOG = _PER_OCTAVE / math.log(2)
_LOWEST, _HIGHEST = -20 * _PER_OCTAVE, 40 * _PER_OCTAVE  # from a millionth to 10^12
_RECENT = 0.1  # rate of the moving averages of the logarithm
_RESCALE = 2.0**40
_INFINITE = math.inf
_EDGES = (2.0 ** (i / _PER_OCTAVE) for i in range(_LOWEST + 1, _HIGHEST + 1))
_BOTTOMS = [0.0, *_EDGES, math.inf]  # where each bucket begins, and the last one ends
_AT_ONCE = 64  # samples that wait at most until they are put into buckets
_FORGOTTEN = 1e-6  # buckets that weigh less, in samples, are dropped


class Distribution:
    """A histogram over buckets of equal ratio, in which older samples weigh less.

    A bucket keeps weight, mean and variance of what fell into it, and stands for a uniform
    piece with that mean and variance. So repeated values are exact, numbers that take few
    values (counts) nearly so, and all else is right within 9%. `add` costs about a microsecond:
    samples are put into buckets many at a time, when something but the mean is asked. Questions
    are answered from a table that is made anew after 6% more samples.

    Args:
        half_life: a sample weighs half as much after so many more; `math.inf` forgets nothing.
        of: what the samples are, in words, such as "answers of plan".
    """

    def __init__(self, half_life: float = 500.0, of: str = "samples") -> None:
        if not half_life >= 1:
            raise UsageError(f"half_life={half_life:g} of a distribution must be at least 1 sample")
        self.of = of
        self.count = 0
        """Samples that ever came."""
        self._growth = 2.0 ** (1.0 / half_life)
        # Instead of old weights falling, new ones grow.
        self._gain = self._sorted = 1.0  # of the newest sample, and the newest in a bucket
        self._total = 0.0
        self._sum = 0.0
        self._buckets: dict[int, tuple[float, float, float]] = {}  # weight, mean, weight x variance
        self._new: list[float] = []  # samples that are in no bucket yet
        self._recent = (0.0, 0.0, 0.0)
        self._imagined = False
        self._pieces: Piecewise | None = None
        self._stale = 0.0  # the count of samples above which the table is stale

    @classmethod
    def log_normal(cls, median: float, p95: float, source: str) -> Distribution:
        """A prior of this shape that weighs as much as one sample.

        Args:
            median: half of the numbers are below.
            p95: 95% of them are.
            source: where the two are from, for people.
        """
        from statistics import NormalDist  # for this alone

        made = cls(math.inf, source)
        sigma = math.log(p95 / median) / NormalDist().inv_cdf(0.95)
        normal, points = NormalDist(math.log(median), sigma), 64
        for i in range(points):
            made.add(math.exp(normal.inv_cdf((i + 0.5) / points)))
        made._rescale(1 / points)
        made._recent = (0.0, 0.0, 0.0)
        made.count, made._imagined = 0, True
        return made

    def add(self, value: float) -> None:
        """Learn a number.

        Raises:
            UsageError: it is negative, infinite or not a number.
        """
        if not 0 <= value < _INFINITE:
            raise UsageError(f"a distribution takes finite numbers from 0 on, not {value!r}")
        self.count += 1
        self._gain = gain = self._gain * self._growth
        self._total += gain
        self._sum += gain * value
        new = self._new
        new.append(value)
        if gain > _RESCALE:
            self._rescale(1 / gain)
        elif len(new) >= _AT_ONCE:
            self._sort()

    def _sort(self) -> None:
        """Put new samples into their buckets."""
        buckets, keep, ln, floor = self._buckets, 1.0 - _RECENT, math.log, math.floor
        weight, first, second = self._recent
        gain, growth = self._sorted, self._growth
        new = self._new
        begin, end = 0, len(new)
        while begin < end:
            value, stop = new[begin], begin + 1
            while stop < end and new[stop] == value:
                stop += 1
            run, begin = stop - begin, stop  # equal ones in a row are one step, as counts often are
            added = gain = gain * growth
            recent = _RECENT
            if run > 1:
                gain *= growth ** (run - 1)
                # The sum of a geometric series.
                added = run * gain if growth == 1 else (gain * growth - added) / (growth - 1)
                recent = 1.0 - keep**run
            log = ln(value if value > 1e-6 else 1e-6)
            index = floor(log * _PER_LOG)
            if not _LOWEST <= index <= _HIGHEST:
                index = _LOWEST if index < _LOWEST else _HIGHEST
            if index in buckets:
                mass, mean, spread = buckets[index]
                mass += added
                off = value - mean
                mean += off * added / mass
                buckets[index] = (mass, mean, spread + added * off * (value - mean))
            else:
                buckets[index] = (added, value, 0.0)
            weight += recent * (1.0 - weight)
            first += recent * (log - first)
            second += recent * (log * log - second)
        self._recent, self._sorted = (weight, first, second), gain
        new.clear()

    @property
    def samples(self) -> float:
        """How many samples it is worth: the newest counts 1, older ones less."""
        return self._total / self._gain

    @property
    def source(self) -> str:
        """Where its answers come from, for people."""
        return self.of if self._imagined else f"{self.count} {self.of}"

    @property
    def log_moments(self) -> tuple[float, float, float]:
        """Moving averages of 1, ln x and (ln x)^2, of rate 0.1, from 0 on; 0s for a prior."""
        self._sort()
        return self._recent

    @property
    def mean(self) -> float:
        """The mean.

        This and all below raise `UsageError` as long as there is no sample.
        """
        return self._sum / self._total if self._total else self._read().mean

    def points(self) -> Sequence[tuple[float, float]]:
        """Numbers in rising order, one for each bucket, with the share of samples up to it."""
        return self._read().points()

    def weights(self) -> Iterator[tuple[float, float]]:
        """Means of the buckets in rising order, with their shares of the samples."""
        self._sort()
        for index in sorted(self._buckets):
            weight, mean, _ = self._buckets[index]
            yield mean, weight / self._total

    def survival(self, x: float) -> float:
        """The probability of a number above x."""
        pieces = self._read()
        return pieces.at(x)[0] / pieces.total

    def cdf(self, x: float) -> float:
        """The probability of a number up to x."""
        return 1.0 - self.survival(x)

    def quantile(self, p: float) -> float:
        """The number below which a share p of the samples lies, 0 <= p <= 1."""
        return self._read().quantile(min(max(p, 0.0), 1.0))

    def mean_beyond(self, x: float) -> float:
        """How much more than x is to be expected of a number that is known to be above x.

        For this and `gittins` one imagined sample of a Pareto distribution (Lomax of shape 2
        and the same mean) is added, so that what has outlasted all experience is expected to
        last about as long again.
        """
        beyond, rest = self._read().padded(x)
        return rest / beyond

    def gittins(self, x: float) -> float:
        """The Gittins index of a job of this size that has had service x; serve the highest.

        It is the supremum over d of P(X <= x + d | X > x) / E[min(X - x, d) | X > x] (Gittins
        1979; Aalto, Ayesta and Righter 2009). It is taken over such d only in which 8 samples
        and a 16th of those above x end, or all, lest single samples stand out.
        """
        return self._read().gittins(x)

    def lasts(self, x: float, further: float) -> float:
        """The chance that a number known to be above x is above x + further.

        The imagined sample of `mean_beyond` counts here too.
        """
        pieces = self._read()
        return pieces.padded(x + further)[0] / pieces.padded(x)[0]

    def hold(self, price: float, back: float = 1.0) -> tuple[float, float]:
        """The t >= 0 with the highest P(X <= t) - price x E[min(X, t)], and P(X <= t).

        X is a number with the chance `back`, and infinite otherwise.

        The imagined sample of `mean_beyond` counts here too: of a few short times none says
        that the next can't be longer. Only the ends of buckets are looked at, and quarters of
        octaves beyond them; (0, 0) if none has more than 0.
        """
        return self._read().hold(price, back)

    def dump(self) -> dict[str, Any]:
        """What was learned, as JSON takes it; see `load`."""
        self._rescale(1 / self._gain)
        buckets = [[i, *self._buckets[i]] for i in sorted(self._buckets)]
        return {"count": self.count, "buckets": buckets, "recent": list(self._recent)}

    @classmethod
    def load(cls, data: Any, half_life: float = 500.0, of: str = "samples") -> Distribution:
        """The distribution that `dump` described.

        Raises:
            UsageError: the data is none of `dump`.
        """
        made = cls(half_life, of)
        try:
            made.count = int(data["count"])
            weight, first, second = (float(value) for value in data["recent"])
            for index, *bucket in data["buckets"]:
                mass, mean, spread = (float(value) for value in bucket)
                sane = 0 < mass < math.inf and 0 <= mean < math.inf and 0 <= spread < math.inf
                if not sane or not _LOWEST <= index <= _HIGHEST:
                    raise ValueError
                made._buckets[int(index)] = (mass, mean, spread)
            if (made.count > 0) != bool(made._buckets):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise UsageError("this is no distribution as weft writes it") from None
        made._recent = (weight, first, second)
        made._add_up()
        return made

    def _rescale(self, factor: float) -> None:
        """Multiply all weights; those that are next to nothing beside a new sample go."""
        self._sort()
        self._gain = self._sorted = 1.0
        scaled = (
            (i, (mass * factor, mean, spread * factor))
            for i, (mass, mean, spread) in self._buckets.items()
        )
        self._buckets = {i: bucket for i, bucket in scaled if bucket[0] >= _FORGOTTEN}
        self._add_up()

    def _add_up(self) -> None:
        self._total = sum(bucket[0] for bucket in self._buckets.values())
        self._sum = sum(bucket[0] * bucket[1] for bucket in self._buckets.values())
        self._pieces = None

    def _read(self) -> Piecewise:
        if self._pieces is None or self.count > self._stale:
            self._sort()
            if not self._buckets:
                raise UsageError(f"nothing is known of {self.of} yet; look at `count` first")
            self._pieces = Piecewise.lay(
                (
                    _BOTTOMS[index - _LOWEST],
                    _BOTTOMS[index - _LOWEST + 1],
                    weight / self._gain,
                    mean,
                    spread / weight,
                )
                for index, (weight, mean, spread) in sorted(self._buckets.items())
            )
            self._stale = self.count + self.samples / 16
        return self._pieces
