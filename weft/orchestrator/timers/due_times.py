"""DueTimes: programs for which something falls due, the earliest first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from weft.orchestrator.programs.program import Program
from weft.orchestrator.timers.timer import At, Timer

Stands = Callable[[Program, float | None], bool]


class DueTimes:
    """Rings for each program at its date, unless the date no longer stands by then.

    Times that no longer stand take no memory for long, nor do their programs: of many short
    programs all but few have ended long before what they were given would fall due.

    Args:
        clock: the time in seconds.
        at: has a callback called at a time.
        stands: whether the date of a program stands that was given when its `acting` was this.
        ring: is called with a program whose date has come.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        at: At,
        stands: Stands,
        ring: Callable[[Program], None],
    ) -> None:
        self._clock, self._stands, self._ring = clock, stands, ring
        self._dates: list[tuple[float, int, Program, float | None]] = []
        self._numbers = itertools.count()
        self._timer = Timer(at, self._look)
        self._most = 64  # dates at which those that no longer stand are looked for

    def __len__(self) -> int:
        return len(self._dates)

    def set(self, program: Program, due: float) -> None:
        """Give a program a date."""
        if len(self._dates) >= self._most:
            self._dates = [entry for entry in self._dates if self._stands(entry[2], entry[3])]
            heapq.heapify(self._dates)
            self._most = 64 + 2 * len(self._dates)
        heapq.heappush(self._dates, (due, next(self._numbers), program, program.acting))
        self._timer.set(due)

    def _look(self) -> None:
        now = self._clock()
        while self._dates:
            due, _, program, since = self._dates[0]
            stands = self._stands(program, since)
            if stands and due > now:
                self._timer.set(due)
                return
            heapq.heappop(self._dates)
            if stands:
                self._ring(program)
