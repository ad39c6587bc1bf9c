"""Timer: one timer for many times."""

from __future__ import annotations

import math
from collections.abc import Callable

At = Callable[[float, Callable[[], None]], object]
"""Has a callback called at a time."""


class Timer:
    """Rings at the earliest of the times it was set to, and forgets the others.

    Args:
        at: has a callback called at a time.
        ring: is called then; it sets the timer again, if it is to ring again.
    """

    def __init__(self, at: At, ring: Callable[[], None]) -> None:
        self._at, self._ring = at, ring
        self._due = math.inf

    def set(self, due: float) -> None:
        """Ring at this time, if not before."""
        if due < self._due:
            self._due = due
            self._at(due, lambda: self._look(due))

    def _look(self, due: float) -> None:
        if self._due == due:
            self._due = math.inf
            self._ring()
