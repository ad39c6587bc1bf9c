"""Gate: how much an engine takes now, by its rate and by what it says when it is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.ticket import Ticket
    from weft.orchestrator.program import Program

_ALONE = 1.0  # most seconds that an engine is left alone because of one program's calls


class Gate:
    """Lets calls to an engine as that can take them.

    With a rate, calls are sent at even distances. An engine that answers that it is busy is in
    doubt first: one call may have a limit of its own, so others go on, but no more than run
    there, and one. If a call sent since is answered, only the one was meant. If it is told the
    same, the engine is shut for as long as it says, and gets half as many calls at once then;
    each time that so many have gone well, one more (AIMD).

    Args:
        most: calls that may run there at once.
        rate: calls a second; None for no limit.

    Attributes:
        limit: calls that may run there at once now.
        paced: whether the next call has to wait for its time.
        shut: whether the engine is left alone for now.
        closed: whether no call may be sent now, for either reason.
        lowered: whether calls that go well change something.
    """

    __slots__ = (
        "_before",
        "_credit",
        "_doubtful",
        "_interval",
        "_next",
        "_opens",
        "_program",
        "_ran",
        "_since",
        "closed",
        "limit",
        "lowered",
        "most",
        "paced",
        "shut",
    )

    def __init__(self, most: int, rate: float | None) -> None:
        self.most = self.limit = self._before = self._ran = most
        self.paced = self.shut = self.closed = self.lowered = self._doubtful = False
        self._interval = 1 / rate if rate else 0.0
        self._next = self._opens = self._since = self._credit = 0.0
        self._program: Program | None = None

    def pace(self, now: float) -> float | None:
        """A call is sent; gives the time of the next one, if that has to wait."""
        if not self._interval:
            return None
        self.paced = self.closed = True
        self._next = max(self._next, now) + self._interval
        return self._next

    def look(self, now: float) -> float | None:
        """Open what is due; gives the time to look again, if something is left."""
        self.paced = self._next > now
        self.shut = self._opens > now
        self.closed = self.paced or self.shut
        due = max(self._next if self.paced else 0.0, self._opens if self.shut else 0.0)
        return due or None

    def lower(self, ticket: Ticket, running: int, seconds: float, now: float) -> float | None:
        """A call was told that the engine is busy; gives the time at which it opens, if it shuts.

        Args:
            ticket: the call.
            running: calls that run there, this one included.
            seconds: after which to come again.
            now: the time.
        """
        if self.shut:
            return None  # sent before that was known
        if not self._doubtful:
            self._doubtful = self.lowered = True
            self._since, self._before, self._program = now, self.limit, ticket.program
            self.limit = self._ran = max(1, min(self.limit, running))
            return None
        if ticket.program is not self._program:
            self._program = None  # not one program's alone
        if ticket.bound_at < self._since:
            self.limit = max(1, self.limit - 1)
            return None
        if self._program is not None:
            seconds = min(seconds, _ALONE)
        self._doubtful = False
        self.limit = max(1, self._ran // 2)
        self._credit = 0.0
        self.shut = self.closed = True
        self._opens = now + seconds
        return self._opens

    def believe(self, ticket: Ticket) -> None:
        """The engine answers a call: it is not busy, if the call was sent since it said so."""
        if self._doubtful and ticket.bound_at >= self._since:
            self._doubtful = False
            self.limit = self._before
            self.lowered = self.limit < self.most

    def credit(self, ticket: Ticket) -> None:
        """A call went well."""
        self.believe(ticket)
        if self._doubtful or not self.lowered:
            return
        self._credit += 1 / self.limit
        if self._credit >= 1:
            self._credit = 0.0
            self.limit += 1
            self.lowered = self.limit < self.most
