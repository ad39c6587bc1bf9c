"""What budgets leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.programs.budgets.budget import budget


def left(budgets: Iterable[budget]) -> tuple[float | None, int | None, int | None]:
    """When the first of some budgets ends, and the calls and tokens that they leave."""
    deadline: float | None = None
    calls: int | None = None
    tokens: int | None = None
    for b in budgets:
        limits, spent = b.limits, b.spent
        if limits.seconds is not None and (deadline is None or b.deadline < deadline):
            deadline = b.deadline
        if limits.calls is not None:
            rest = max(0, limits.calls - spent.calls)
            calls = rest if calls is None else min(calls, rest)
        if limits.tokens is not None:
            rest = max(0, limits.tokens - spent.total)
            tokens = rest if tokens is None else min(tokens, rest)
    return deadline, calls, tokens
