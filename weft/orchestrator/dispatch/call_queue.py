"""CallQueue: calls that wait for the same thing, in the policy's order."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.ticket import Ticket


class CallQueue:
    """A queue of tickets: the overdue ones first, then by key, then by arrival.

    Putting in and taking out cost O(log n). A ticket that has left is skipped when it comes up.
    """

    def __init__(self) -> None:
        # A call that was sent back has its old turn again: numbers keep tickets from comparing.
        self._numbers = itertools.count()
        self._by_key: list[tuple[tuple[float, ...], int, int, Ticket]] = []
        self._by_time: list[tuple[float, int, int, Ticket]] = []
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def put(self, ticket: Ticket) -> None:
        """Add a ticket."""
        ticket.lane = self
        order, arrival, number = ticket.order, ticket.arrival, next(self._numbers)
        heapq.heappush(self._by_key, (order.key, arrival, number, ticket))
        if order.overdue is not None:
            heapq.heappush(self._by_time, (order.overdue, arrival, number, ticket))
        self._live += 1

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out, wherever it stands."""
        if ticket.lane is self:
            ticket.lane = None
            self._live -= 1
            if len(self._by_key) > 64 + 2 * self._live:
                self._sweep()

    def first(self, now: float) -> Ticket | None:
        """The ticket that is next."""
        due = self._by_time
        while due and due[0][3].lane is not self:
            heapq.heappop(due)
        if due and due[0][0] <= now:
            return due[0][3]
        queue = self._by_key
        while queue and queue[0][3].lane is not self:
            heapq.heappop(queue)
        return queue[0][3] if queue else None

    def next_overdue(self, now: float) -> float:
        """When the next ticket after `now` becomes overdue; infinite if none will."""
        due = self._by_time
        while due and due[0][3].lane is not self:
            heapq.heappop(due)
        return due[0][0] if due and due[0][0] > now else math.inf

    def take_all(self) -> list[Ticket]:
        """Empty the lane; the tickets in order."""
        tickets = [ticket for *_, ticket in sorted(self._by_key, key=lambda e: e[:3])]
        tickets = [ticket for ticket in tickets if ticket.lane is self]
        for ticket in tickets:
            self.remove(ticket)
        return tickets

    def _sweep(self) -> None:
        """Forget tickets that have left, so that cancelled calls take no memory."""
        self._by_key = [entry for entry in self._by_key if entry[3].lane is self]
        self._by_time = [entry for entry in self._by_time if entry[3].lane is self]
        heapq.heapify(self._by_key)
        heapq.heapify(self._by_time)


def before(a: Ticket, b: Ticket, now: float) -> bool:
    """Whether `a` goes before `b`, which waits in another lane."""

    def rank(ticket: Ticket) -> tuple[bool, float, tuple[float, ...], int]:
        overdue = ticket.order.overdue
        late = overdue is not None and overdue <= now
        return (not late, overdue if late and overdue is not None else 0.0, ticket.order.key, 0)

    return (*rank(a)[:3], a.arrival) < (*rank(b)[:3], b.arrival)
