"""Virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable

from trio.abc import Clock

from weft.backends.timeline import Timeline


class VirtualClock(Clock):
    """A clock for trio that stands still while tasks run, and leaps when all of them wait.

    It leaps to what comes first, a task's deadline or something due on the timeline, whose
    callbacks it runs itself: no task has to wake for them. (trio's `MockClock` takes several
    rounds of the event loop for a leap.) `wait_all_tasks_blocked` does not work beside it.

    Args:
        timeline: what it drives; it must not have been entered yet.

    Attributes:
        on_idle: is told the time when no task can run, and none waits for a time.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.on_idle: Callable[[float], None] | None = None
        self._now = 0.0
        self._timeline = timeline
        timeline.drive_by(self.current_time)

    def start_clock(self) -> None:
        """Nothing runs by itself."""

    def current_time(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Leap: the event loop asks this when no task can run."""
        due = self._timeline.next
        if due == deadline == math.inf:
            return math.inf
        self._now = max(self._now, min(due, deadline))
        if due <= deadline:
            self._timeline.run_due()
            if deadline == math.inf and self.on_idle is not None:
                self.on_idle(self._now)
        return 0.0
