"""Split-conformal prediction: bounds that hold whatever the scores' distribution is.

All that is assumed is that old scores and the new one come in any order with the same
probability, as those of independent draws do (Vovk et al. 2005, Lei et al. 2018).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TypeVar

from weft.errors import UsageError

Label = TypeVar("Label")
_ROUNDING = 1e-9


def conformal_quantile(scores: Sequence[float], miss: float) -> float:
    """What a new score exceeds with a probability of at most `miss`.

    With n scores it is the ceil((n + 1)(1 - miss))-th smallest; infinity where there are too few
    for any bound.

    Args:
        scores: of the calibration, in any order.
        miss: the probability that is allowed, from 0 to 1.

    Raises:
        UsageError: `miss` is out of range.
    """
    if not 0 <= miss <= 1:
        raise UsageError(f"miss={miss:g} of a conformal quantile must be from 0 to 1")
    rank = math.ceil((len(scores) + 1) * (1 - miss) - _ROUNDING)
    if rank > len(scores):
        return math.inf
    return sorted(scores)[rank - 1] if rank else -math.inf


def least_examples(miss: float) -> int:
    """How many scores a quantile takes to be finite: 1 / miss - 1, rounded up."""
    return math.ceil(1 / miss - 1 - _ROUNDING)


def p_value(ordered: Sequence[float], score: float) -> float:
    """How unusual a new score is: the share of scores that are as large, itself included.

    For scores like those of the calibration it is at most u with a probability of at most u, for
    any u.

    Args:
        ordered: the scores of the calibration, smallest first.
        score: the new one.
    """
    return (len(ordered) - bisect_left(ordered, score) + 1) / (len(ordered) + 1)


def prediction_set(
    known: Mapping[Label, Sequence[float]], strange: Mapping[Label, float], miss: float
) -> set[Label]:
    """The labels that can't be ruled out; it lacks the true one with a probability of `miss`.

    This holds for the examples of each label by themselves (class-conditional coverage).

    Args:
        known: of each label, how strange the calibration's examples of it were.
        strange: of each label, how strange the new example would be with it.
        miss: the probability that is allowed.
    """
    bounds = {label: conformal_quantile(scores, miss) for label, scores in known.items()}
    return {label for label, score in strange.items() if score <= bounds[label]}
