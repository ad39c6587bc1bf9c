"""Idealised run time: how long calls would take on an engine that does nothing else.

After Narayanan et al. (2023): the time of a call is linear in what is computed of its prompt and in
what is generated. The line is fitted to calls of an idle engine. What calls took elsewhere, by what
they would have taken there, is how much they suffered from others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from weft.errors import UsageError
from weft.evals.records import KeptText
from weft.search.calibration.logistic import solve

_LEAST = 10
"""Calls that a line is fitted to."""


@dataclass(frozen=True)
class RunTime:
    """The seconds of a call.

    Attributes:
        call: of any call.
        prompt: of a token of the prompt that is not cached.
        token: of a token that is generated.
        calls: to how many the line was fitted.
        explained: the share of their variance that it explains.
        off: how far the line is off, as a share of a call's time, in the median.
    """

    call: float
    prompt: float
    token: float
    calls: int = 0
    explained: float = 1.0
    off: float = 0.0

    def seconds(self, text: KeptText) -> float:
        """What a call would take; at least what its tokens take."""
        return self.call + self.prompt * (text.prompt - text.cached) + self.token * text.tokens


def fit_run_time(texts: Iterable[KeptText]) -> RunTime:
    """Fit the line by least squares, to calls that came to their end.

    A number that is the same in all calls can't be told from what any call takes, and gets 0.

    Raises:
        UsageError: there are too few calls.
    """
    kept = [text for text in texts if text.whole and text.seconds > 0 and text.tokens > 0]
    if len(kept) < _LEAST:
        raise UsageError(
            f"a run time can't be fitted to {len(kept)} calls; run more problems, at least "
            f"{_LEAST} calls"
        )
    columns = [[float(t.prompt - t.cached) for t in kept], [float(t.tokens) for t in kept]]
    took = [_took(text) for text in kept]
    weights = _least_squares(columns, took)
    base = fmean(took) - sum(w * fmean(c) for w, c in zip(weights, columns, strict=True))
    line = RunTime(base, weights[0], weights[1])
    gaps = [seconds - line.seconds(text) for text, seconds in zip(kept, took, strict=True)]
    mean = fmean(took)
    spread = math.fsum((seconds - mean) ** 2 for seconds in took)
    left = math.fsum(gap * gap for gap in gaps)
    explained = 1 - left / spread if spread > 0 else 1.0
    off = median(abs(gap) / seconds for gap, seconds in zip(gaps, took, strict=True))
    return replace(line, calls=len(kept), explained=explained, off=off)


def contended(line: RunTime, texts: Iterable[KeptText]) -> tuple[int, float, float]:
    """How many calls, the seconds they took with waiting, and those of an idle engine."""
    kept = [text for text in texts if text.whole and text.seconds > 0]
    took = math.fsum(text.seconds for text in kept)
    return len(kept), took, math.fsum(max(0.0, line.seconds(text)) for text in kept)


def _took(text: KeptText) -> float:
    """Seconds in the engine, without those in weft's queue."""
    return max(0.0, text.seconds - text.queued)


def _least_squares(columns: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Weights of columns, centred; 0 for those that do not vary, or follow from others."""
    centred = [[value - fmean(column) for value in column] for column in columns]
    aim = [value - fmean(right) for value in right]
    used: list[int] = []
    found = [0.0] * len(columns)
    # What is generated takes most of the time, so it comes first.
    for at in sorted(range(len(columns)), reverse=True):
        if math.fsum(v * v for v in centred[at]) <= 0:
            continue
        try:
            weights = solve(
                [[_dot(centred[i], centred[j]) for j in (*used, at)] for i in (*used, at)],
                [_dot(centred[i], aim) for i in (*used, at)],
            )
        except UsageError:
            continue
        used.append(at)
        for i, weight in zip(used, weights, strict=True):
            found[i] = weight
    return found


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
