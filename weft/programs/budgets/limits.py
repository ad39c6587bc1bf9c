"""Limits of budgets, and amounts that count against them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from weft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run or a block may spend; None is no limit.

    Attributes:
        tokens: prompt and generated tokens together.
        calls: calls that reach an engine.
        seconds: wall-clock time from where the budget is opened.
        dollars: by the engines' prices.
    """

    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            limit = getattr(self, f.name)
            if limit is None:
                continue
            if isinstance(limit, bool) or not (isinstance(limit, int | float) and limit > 0):
                raise UsageError(
                    f"budget {f.name}={limit!r} must be a number above 0; leave it out for no limit"
                )
            if f.name in ("tokens", "calls") and limit != math.inf and limit != int(limit):
                raise UsageError(f"budget {f.name}={limit!r} must be a whole number")


@dataclass(slots=True)
class Amounts:
    """What calls in flight hold of a budget."""

    calls: int = 0
    tokens: float = 0
    dollars: float = 0.0

    def add(self, other: Amounts, sign: int = 1) -> None:
        """Add, or with `sign=-1` take away."""
        self.calls += sign * other.calls
        self.tokens += sign * other.tokens
        self.dollars += sign * other.dollars
