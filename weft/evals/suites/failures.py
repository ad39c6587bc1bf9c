"""Samples that fail: how many a strategy may have, and which will fail again."""

from __future__ import annotations

import math

from weft.errors import ContextExceeded, RequestRejected, UsageError

_FEW = 3  # errors that never end a strategy where its bound is a share


def most_errors(bound: str, samples: int) -> float:
    """How many errors a strategy may have: `5`, `10%` (but three at least), or `all`.

    Raises:
        UsageError: the bound has none of these forms.
    """
    if bound == "all":
        return math.inf
    number = bound.removesuffix("%")
    if not number.isascii() or not number.isdigit() or (bound != number and int(number) > 100):
        raise UsageError(f"max_errors={bound} must be a number, a share such as 10%, or all")
    return int(number) if bound == number else max(_FEW, int(number) / 100 * samples)


def never_works(error: BaseException | None) -> bool:
    """Whether an engine refused the request itself, so that no other try will help."""
    while error is not None:
        if isinstance(error, ContextExceeded | RequestRejected):
            return True
        error = error.__cause__
    return False
