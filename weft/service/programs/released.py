"""Released: programs that were released lately, and must not come back by themselves."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

SECONDS = 600.0
"""For how long a program stays released."""

_MOST = 10_000


class Released:
    """Ids of programs that were released.

    Clients send again what was ended by a release. Each such call would begin the program anew.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._clock = clock

    def add(self, program: str) -> None:
        """A program was released."""
        now = self._clock()
        self._until[program] = now + SECONDS
        self._until.move_to_end(program)
        while len(self._until) > _MOST or next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    def dump(self) -> list[tuple[str, float]]:
        """What another process must know, for `load`: each with its end, in Unix seconds."""
        late = time.time() - self._clock()
        return [(program, until + late) for program, until in self._until.items()]

    def load(self, kept: Iterable[tuple[str, float]]) -> None:
        """Know what `dump` gave.

        Raises:
            TypeError, ValueError: that is something else.
        """
        late = time.time() - self._clock()
        for program, until in kept:
            self._until[str(program)] = min(float(until) - late, self._clock() + SECONDS)

    def __contains__(self, program: str) -> bool:
        until = self._until.get(program) if self._until else None
        if until is not None and until <= self._clock():
            del self._until[program]
            return False
        return until is not None
