"""Items that came to nothing: refused by a budget, failed, or timed out. They end no strategy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from weft.errors import BudgetExceeded, EngineError, TimedOut, WeftError

NO_RESULT = (BudgetExceeded, EngineError, TimedOut)
"""Errors of one sample, step or verdict, for which a strategy goes on with the others.

What is wrong for all alike is a `UsageError`, and ends the strategy.
"""


def note(details: dict[str, Any], errors: Iterable[WeftError]) -> None:
    """Say in an Answer's details what came to nothing: `budget` and `failed`."""
    failed: set[int] = set()
    for error in errors:
        if isinstance(error, BudgetExceeded):
            details.setdefault("budget", error.resource)
        else:
            failed.add(id(error))  # equal paths share one verdict
    if failed:
        details["failed"] = len(failed)
