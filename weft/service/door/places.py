"""Places: the places in the queue of calls that were told to come again, or whose client left."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import xxhash

from weft.orchestrator.dispatch.ticket import Ticket

_MOST = 10_000
_SECONDS = 600.0

_Key = tuple[str, int]


class Places:
    """Gives a request that is sent again the place in the queue that it had.

    Clients repeat what failed, some of them many times. A repeated request must not lose what
    it has waited already, or in an overload nobody is ever served who is not lucky at once.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: OrderedDict[_Key, tuple[float, Ticket]] = OrderedDict()
        self._clock = clock

    def keep(self, program: str, raw: bytes, ticket: Ticket) -> None:
        """Remember the place of a request that was not started."""
        key = (program, xxhash.xxh3_64_intdigest(raw))
        self._kept[key] = (self._clock() + _SECONDS, ticket)
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def take(self, program: str, raw: bytes) -> Ticket | None:
        """The place that the same request of this program had, if it had one."""
        if not self._kept:
            return None
        due, ticket = self._kept.pop((program, xxhash.xxh3_64_intdigest(raw)), (0.0, None))
        return ticket if due > self._clock() else None
