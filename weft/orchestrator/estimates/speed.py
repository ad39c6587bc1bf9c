"""Speed: how fast an engine computes prompts and generates, learned from what it does."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from weft.errors import UsageError

_KEPT = 64  # observations that a line is drawn through
_AGES = [0.5 ** (age / 24) for age in range(_KEPT)]  # what they weigh, the newest first
_ENOUGH = 3
_FEW = 16  # with no more the line is drawn anew each time; so many on one side are a change
_CLOSE = 0.02  # relative deviations below this count alike
_LEAST, _MOST = 1e-9, 1e9  # seconds
_TRACE = 1.0001
_MUCH = 100  # tokens of an answer, beyond which its time per token says no more
_DEARER = 100.0  # a token of an answer than one of a prompt, before anything is known
_KNOWN = 256  # engines whose speeds are remembered


class Speed:
    """Rates of one engine, measured online; there is nothing to configure.

    Seconds for a prompt are a + b x tokens, seconds between the tokens of an answer a + b x
    batch, each fitted to the last 64 observations so that up to about a third of them may be
    off by any factor (queueing inside the engine, a pause), and so that a lasting change is
    taken up after 16. Estimates never fall with tokens or batch, and are never negative.
    """

    def __init__(self) -> None:
        self._prefill = _Line(level=False)
        self._decode = _Line(level=True)

    def forget(self) -> None:
        """Know nothing again."""
        self._prefill = _Line(level=False)
        self._decode = _Line(level=True)

    @classmethod
    def load(cls, kept: Any) -> Speed:
        """A speed as `dump` gave it.

        Raises:
            UsageError: it is something else.
        """
        speed = cls()
        try:
            for line, seen in zip((speed._prefill, speed._decode), kept, strict=True):
                for x, y, weight in seen:
                    if not (0 < x < math.inf and 0 < weight < math.inf):
                        raise ValueError
                    line.add(float(x), float(y), float(weight))
        except (TypeError, ValueError):
            raise UsageError(f"{str(kept)[:80]!r} is no engine's speed") from None
        return speed

    def dump(self) -> list[list[tuple[float, float, float]]]:
        """What is to be kept, ready for JSON: points of both lines."""
        return [self._prefill.dump(), self._decode.dump()]

    def learn_prefill(self, tokens: int, seconds: float, batch: int = 1) -> None:
        """A first token came.

        Args:
            tokens: of the prompt, those that had to be computed.
            seconds: from sending the request to its first token.
            batch: calls that ran there then; the fewer, the more it says.
        """
        if tokens > 0:
            self._prefill.add(float(tokens), seconds, 1.0 / max(batch, 1))

    def learn_decode(self, tokens: int, seconds: float, batch: int = 1) -> None:
        """An answer ended.

        Args:
            tokens: generated after the first one.
            seconds: from the first token to the last.
            batch: calls that ran there meanwhile, on average.
        """
        if tokens > 0:
            self._decode.add(float(max(batch, 1)), seconds / tokens, float(min(tokens, _MUCH)))

    def learn_whole(self, computed: int, tokens: int, seconds: float, batch: int = 1) -> None:
        """A whole answer came at once, so that only the sum of both times is known.

        It is split as what is known so far would have it. Each share counts by its size, and so
        the two draw apart where answers differ (expectation maximisation, as Richardson 1972).

        Args:
            computed: tokens of the prompt, those that had to be computed.
            tokens: generated.
            seconds: from sending the request to its answer.
            batch: calls that ran there meanwhile.
        """
        further = tokens - 1 if tokens > 1 else 0
        batch = batch if batch > 1 else 1
        prompt, answer = self.prefill_seconds(computed), self.decode_seconds(batch) * further
        if not prompt or not answer:
            prompt, answer = float(computed), _DEARER * further
        if not prompt + answer:
            return
        share = prompt / (prompt + answer)
        if computed:
            self._prefill.add(float(computed), share * seconds, share / batch)
        if further:
            each = (1 - share) * seconds / further
            weight = (1 - share) * (further if further < _MUCH else _MUCH)
            self._decode.add(float(batch), each, weight)

    def prefill_seconds(self, tokens: int) -> float:
        """How long it takes to compute so much of a prompt; 0 if not known yet."""
        return self._prefill.at(float(tokens)) if tokens > 0 else 0.0

    def decode_seconds(self, batch: int) -> float:
        """Seconds between the tokens of one answer when so many calls run; 0 if unknown."""
        return self._decode.at(float(batch if batch > 1 else 1))


class _Line:
    """y = a + b x with a, b >= 0, by relative deviations, the newest observations first.

    It is fitted anew now and then: two steps of reweighted least squares towards least absolute
    deviations (Schlossmacher 1973), then one with Cauchy's weights, which pulls it off
    one-sided outliers. If 16 observations in a row lie on one side of it, the engine has
    changed, and older ones are forgotten.

    Args:
        level: where all x are about the same, whether y is taken as the same for all x, rather
            than as proportional to x.
    """

    def __init__(self, level: bool) -> None:
        self._level = level
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=_KEPT)
        self._fresh = 0  # observations since the last fit
        self._run, self._above = 0, False  # so many of the last were above the line, or below
        self._line = (0.0, 0.0)

    def add(self, x: float, y: float, weight: float) -> None:
        """Learn from an observation, x > 0."""
        if not 0 <= y < math.inf:
            raise UsageError(f"an engine's speed is learned from seconds from 0 on, not {y!r}")
        seen, (a, b) = self._seen, self._line
        above = y > a + b * x
        self._run = self._run + 1 if above == self._above else 1
        self._above = above
        seen.append((x, _LEAST if y < _LEAST else _MOST if y > _MOST else y, weight))
        self._fresh += 1
        if len(seen) <= _FEW:
            if len(seen) >= _ENOUGH:
                self._fit()
        elif self._run >= _FEW:
            while len(seen) > _FEW:
                seen.popleft()
            self._run = 0
            self._fit()
        elif self._fresh >= (_KEPT if len(seen) == _KEPT else _FEW):
            self._fit()

    def dump(self) -> list[tuple[float, float, float]]:
        """Points of the line where it was observed, 16 at most: they draw the same line again."""
        if len(self._seen) < _ENOUGH:
            return []
        every = -(-len(self._seen) // _FEW)
        return [
            (x, float(f"{self.at(x):.6g}"), float(f"{weight:.4g}"))
            for x, _, weight in list(self._seen)[::every]
        ]

    def at(self, x: float) -> float:
        """The line at x."""
        return self._line[0] + self._line[1] * x

    def _fit(self) -> None:
        self._fresh = 0
        line = self._line
        seen = [
            (x, y, w * age) for (x, y, w), age in zip(reversed(self._seen), _AGES, strict=False)
        ]
        if len(seen) <= _FEW:
            # Through the median of y or y / x: nearly half of the first may be wrong.
            ratios = sorted(y if self._level else y / x for x, y, _ in seen)
            middle = ratios[(len(ratios) - 1) // 2]
            line = (middle, 0.0) if self._level else (0.0, middle)
        line = self._step(seen, line, 0.0)
        line = self._step(seen, line, 0.0)
        a, b = line
        off = sorted([abs(y / (a + b * x) - 1) for x, y, _ in seen])
        self._line = self._step(seen, line, max(2 * off[len(off) // 2], _CLOSE))

    def _step(
        self, seen: list[tuple[float, float, float]], line: tuple[float, float], scale: float
    ) -> tuple[float, float]:
        """A line by weighted least squares; the further off the last one, the less weight.

        With a scale that is a relative deviation at which Cauchy's weight is half; else weights
        are one over the deviation.
        """
        a, b = line
        w0 = wx = wxx = wy = wxy = 0.0
        for x, y, weight in seen:
            about = a + b * x
            off = y / about - 1
            if scale:
                off /= scale
                pull = 1 + off * off
            elif -_CLOSE < off < _CLOSE:
                pull = _CLOSE
            else:
                pull = off if off > 0 else -off
            w = weight / (about * about * pull)
            w0 += w
            w *= x
            wx += w
            wy += w * y / x
            wxy += w * y
            wxx += w * x
        # A trace of weight for the simpler line decides where the data do not.
        if self._level:
            det = w0 * wxx * _TRACE - wx * wx
            a, b = (wxx * _TRACE * wy - wx * wxy) / det, (w0 * wxy - wx * wy) / det
        else:
            det = w0 * _TRACE * wxx - wx * wx
            a, b = (wxx * wy - wx * wxy) / det, (w0 * _TRACE * wxy - wx * wy) / det
        if a <= 0:
            return 0.0, wxy / wxx
        if b <= 0:
            return wy / w0, 0.0
        return a, b


class KnownSpeeds(dict[tuple[str, str], Speed]):
    """Speeds of engines by name and model: those that are there, were, or are known from before."""

    def of(self, name: str, model: str) -> Speed:
        """The speed of an engine, which is the last to be forgotten now."""
        speed = self[name, model] = self.pop((name, model), None) or Speed()
        if len(self) > _KNOWN:
            del self[next(iter(self))]
        return speed
