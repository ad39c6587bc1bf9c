"""LoadShedder: how much may wait, and who is told early to come back later."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from weft.errors import Refused

_LATELY = 30.0  # seconds over which calls that start are counted
_NEW = 0.8  # share of the queue that calls of new programs may fill
_SOON, _LATE = 1.0, 60.0  # seconds of Retry-After, at least and at most


class LoadShedder:
    """Keeps the queue bounded, so that what is taken in is served in time.

    Beyond what engines can do, more work taken in only makes all of it late. So calls are
    refused at the door when too many wait already, or when those that wait can't be served
    before their patience ends. Programs under way come before new ones, for what was spent on
    them would be lost.

    Args:
        waiting: gives the number of calls that wait.
        clock: seconds that only grow.
    """

    def __init__(
        self, waiting: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting, self._clock = waiting, clock
        self._starts: deque[float] = deque()

    def note_start(self) -> None:
        """A call that had waited was started."""
        now = self._clock()
        self._starts.append(now)
        while now - self._starts[0] > _LATELY:
            self._starts.popleft()

    def seconds(self) -> float:
        """How long a call that comes now will wait, by how calls started lately."""
        waiting = self._waiting()
        now = self._clock()
        while self._starts and now - self._starts[0] > _LATELY:
            self._starts.popleft()
        if not waiting or len(self._starts) < 2:
            return 0.0
        return waiting * (now - self._starts[0]) / len(self._starts)

    def check(self, most: int, patience: float, new: bool) -> Refused | None:
        """Why a call can't be taken in now, if it can't.

        Args:
            most: calls that may wait.
            patience: seconds that a call may wait.
            new: whether its program has had no call yet.
        """
        waiting = self._waiting()
        if waiting < most * _NEW / 2:
            return None  # far from full: nobody will wait for long
        room = max(1, int(most * _NEW)) if new and most > 1 else most
        if waiting >= room:
            why = f"{waiting} requests wait for an engine already"
        elif self.seconds() > patience:
            why = f"the queue is longer than what can be served in {patience:.0f} s"
        else:
            return None
        wait = max(_SOON, min(_LATE, self.seconds()))
        return Refused(503, f"{why}; try again in {math.ceil(wait)} s", wait)
