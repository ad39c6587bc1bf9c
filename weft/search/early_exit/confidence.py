"""How confident a model is within an answer: groups of tokens, and a floor under them.

All of DeepConf (Fu et al. 2025). A token's confidence is the mean of the negative
log-probabilities of its likeliest alternatives: it is large where one token has nearly all
probability, and the others are most unlikely.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from weft.programs.watching import Look, Monitor
from weft.types import Delta, TokenLogprob

ALTERNATIVES = 20
"""How many alternatives to a token make its confidence."""

MEASURES = ("bottom", "lowest", "mean", "tail")
"""How the confidence of an answer is made of its groups' or its tokens'."""

_BOTTOM = 0.1
"""The share of the groups that `bottom` is the mean of."""


def token_confidence(token: TokenLogprob) -> float:
    """The mean of the alternatives' negative log-probabilities; 0 without any.

    Alternatives that are impossible, by the sampler's rules or by schema, say nothing.
    """
    known = [value for value in token.top.values() if math.isfinite(value)]
    return -fmean(known) if known else 0.0


class Groups:
    """The confidences of an answer's groups: of each window of so many tokens, their mean.

    An answer that is shorter than the window is one group.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._tokens = deque[float]()
        self._sum = 0.0
        self._means: list[float] = []

    def add(self, confidence: float) -> float | None:
        """Take the next token; gives the mean of the window that it completes, if it does."""
        self._tokens.append(confidence)
        self._sum += confidence
        if len(self._tokens) > self._window:
            self._sum -= self._tokens.popleft()
        if len(self._tokens) < self._window:
            return None
        mean = self._sum / self._window
        self._means.append(mean)
        return mean

    @property
    def means(self) -> Sequence[float]:
        """Those of all groups, in order; none without tokens."""
        if self._means or not self._tokens:
            return self._means
        return [self._sum / len(self._tokens)]


def confidence(tokens: Iterable[TokenLogprob], window: int, measure: str = "lowest") -> float:
    """The confidence of an answer; 0 without tokens.

    Args:
        tokens: its own, with alternatives.
        window: how many tokens a group has.
        measure: `lowest` group, the mean of the `bottom` tenth of groups, `mean` of all tokens,
            or `tail`: of the last window.
    """
    each = [token_confidence(token) for token in tokens]
    if not each:
        return 0.0
    if measure in ("mean", "tail"):
        return fmean(each if measure == "mean" else each[-window:])
    groups = Groups(window)
    for one in each:
        groups.add(one)
    means = sorted(groups.means)
    return means[0] if measure == "lowest" else fmean(means[: max(1, int(_BOTTOM * len(means)))])


def floor_of(confidences: Sequence[float], keep: float) -> float:
    """The confidence that a share `keep` of some answers has, or more; between two, linearly."""
    ranked = sorted(confidences)
    place = (1 - keep) * (len(ranked) - 1)
    below = min(int(place), len(ranked) - 1)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])


@dataclass(frozen=True)
class Floor(Monitor):
    """Ends an answer at the first group whose confidence is below a floor.

    Attributes:
        window: how many tokens a group has.
        least: the floor.
    """

    window: int
    least: float

    @property
    def key(self) -> str:
        """The parameters."""
        return f"floor {self.window} {self.least!r}"

    def begin(self) -> Look:
        """What looks at one answer."""
        groups = Groups(self.window)

        def look(delta: Delta) -> int | None:
            for count, token in enumerate(delta.logprobs, 1):
                mean = groups.add(token_confidence(token))
                if mean is not None and mean < self.least:
                    return count
            return None

        return look
