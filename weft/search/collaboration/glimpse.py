"""How sure a model is of the next token, as far as engines tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.programs.watching import Look, Monitor
from weft.types import Delta, TokenLogprob

TOP = 20
"""Alternatives that are asked for: engines report no more."""


def _probabilities(token: TokenLogprob) -> list[float]:
    return [math.exp(p) for p in {**token.top, token.token: token.logprob}.values()]


def likeliest(token: TokenLogprob) -> float:
    """The probability of the likeliest token in the place of a token."""
    return max(_probabilities(token))


def entropy(token: TokenLogprob) -> float:
    """The entropy of the distribution in the place of a token, in nats; from below.

    What is not among the alternatives that are told counts as one token more. The entropy is
    larger, by no more than this rest times the logarithm of the number of tokens in it.
    """
    told = _probabilities(token)
    both = (*told, max(0.0, 1.0 - math.fsum(told)))
    return -math.fsum(p * math.log(p) for p in both if p > 0)


@dataclass(frozen=True)
class Glimpse(Monitor):
    """Ends an answer before its first token if the entropy there is more than `most`, in nats."""

    most: float

    @property
    def key(self) -> str:
        """Tells how much may be."""
        return f"glimpse {self.most!r}"

    def begin(self) -> Look:
        """Looks at the first token alone."""
        seen = False

        def look(delta: Delta) -> int | None:
            nonlocal seen
            first = delta.logprobs[0] if delta.logprobs else delta.end
            if seen or first is None:
                return None
            seen = True
            return 0 if entropy(first) > self.most else None

        return look


@dataclass(frozen=True)
class FirstDoubt(Monitor):
    """Ends an answer behind the first token in whose place none has the probability `least`."""

    least: float

    @property
    def key(self) -> str:
        """Tells how likely a token must be."""
        return f"first doubt {self.least!r}"

    def begin(self) -> Look:
        """Looks at each token, and at the end."""

        def look(delta: Delta) -> int | None:
            for count, token in enumerate(delta.logprobs, 1):
                if likeliest(token) < self.least:
                    return count
            if delta.end is not None and likeliest(delta.end) < self.least:
                return len(delta.logprobs)
            return None

        return look
