"""CallQueue: calls that wait for the same thing, in the policy's order."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.ticket import Ticket


_ByKey = tuple[tuple[float, ...], int, int, "Ticket"]
_ByTime = tuple[float, tuple[float, ...], int, int, "Ticket"]


class CallQueue:
    """A queue of tickets: the overdue ones first, then by key, then by arrival.

    Putting in and taking out cost O(log n). A ticket that has left is skipped when it comes up.
    """

    def __init__(self) -> None:
        # Numbers tell the entry of a ticket that is here from those of its earlier stays, and
        # keep tickets from comparing: a call that was sent back has its old turn again.
        self._numbers = itertools.count()
        self._here: dict[Ticket, int] = {}
        self._by_key: list[_ByKey] = []
        self._by_time: list[_ByTime] = []

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._here)

    def put(self, ticket: Ticket) -> None:
        """Add a ticket."""
        ticket.queue = self
        key, arrival, number = ticket.key, ticket.arrival, next(self._numbers)
        heapq.heappush(self._by_key, (key, arrival, number, ticket))
        if ticket.overdue < math.inf:
            heapq.heappush(self._by_time, (ticket.overdue, key, arrival, number, ticket))
        self._here[ticket] = number

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out, wherever it stands."""
        if ticket.queue is self:
            ticket.queue = None
            del self._here[ticket]
            if not self._here:
                self._by_key.clear()
                self._by_time.clear()
            elif len(self._by_key) > 64 + 2 * len(self._here):
                self._sweep()

    def first(self, now: float) -> Ticket | None:
        """The ticket that is next."""
        here = self._here
        if not here:
            return None
        # As `_stands` has it; asked several times a call, so without calls of its own.
        due = self._by_time
        while due and here.get(due[0][-1]) != due[0][-2]:
            heapq.heappop(due)
        if due and due[0][0] <= now:
            return due[0][-1]
        queue = self._by_key
        while queue and here.get(queue[0][-1]) != queue[0][-2]:
            heapq.heappop(queue)
        return queue[0][-1] if queue else None

    @property
    def oldest(self) -> Ticket | None:
        """The ticket that has been here longest, but for those that an engine refused before."""
        return next((ticket for ticket in self._here if not ticket.last), None)

    def next_overdue(self, now: float) -> float:
        """When the next ticket after `now` becomes overdue; infinite if none will."""
        due = self._due()
        return due[0] if due is not None and due[0] > now else math.inf

    def take_all(self) -> list[Ticket]:
        """Empty the queue; the tickets in order."""
        tickets = [entry[-1] for entry in sorted(filter(self._stands, self._by_key))]
        for ticket in tickets:
            self.remove(ticket)
        return tickets

    def _due(self) -> _ByTime | None:
        """The entry of the ticket that is overdue first."""
        due = self._by_time
        while due and not self._stands(due[0]):
            heapq.heappop(due)
        return due[0] if due else None

    def _stands(self, entry: _ByKey | _ByTime) -> bool:
        """Whether an entry is of a ticket that is still here, and not of an earlier stay."""
        return self._here.get(entry[-1]) == entry[-2]

    def _sweep(self) -> None:
        """Forget tickets that have left, so that cancelled calls take no memory."""
        self._by_key = list(filter(self._stands, self._by_key))
        self._by_time = list(filter(self._stands, self._by_time))
        heapq.heapify(self._by_key)
        heapq.heapify(self._by_time)


def before(a: Ticket, b: Ticket, now: float) -> bool:
    """Whether `a` goes before `b`, which waits in another queue."""
    late = a.overdue <= now
    if late != (b.overdue <= now):
        return late
    if late and a.overdue != b.overdue:
        return a.overdue < b.overdue
    return (a.key, a.arrival) < (b.key, b.arrival)
