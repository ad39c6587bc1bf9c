"""Gate: how much an engine takes now, by its rate and by what it says when it is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.ticket import Ticket

_FIRST = 0.1  # seconds for which an engine is shut at first; each time in a row twice as long
_LONGEST = 2.0  # most seconds of that


class Gate:
    """Lets calls to an engine as that can take them.

    With a rate, calls are sent at even distances. An engine that answers that it is busy is in
    doubt first: one call may have a limit of its own, so others go on, but no more than run
    there, and one. If a call sent since is answered, only the one was meant. If it is told the
    same, the engine gets half as many calls at once from then on, though not fewer than it runs;
    each time that so many have gone well, one more (AIMD). And it is shut for a moment, which
    doubles while no call is answered, and then gets one call in such a moment, until one is: a
    sender who alone has reached a limit keeps coming, and must not keep the others away. The calls
    that were refused wait for as long as they are told.

    An engine that says beforehand that it takes no more is shut until the time that it names.

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
        "_pause",
        "_ran",
        "_rests",
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
        self._pause = self._rests = 0.0

    def pace(self, now: float) -> float | None:
        """A call is sent; gives the time of the next one, if that has to wait."""
        interval = self._interval if self._interval > self._pause else self._pause
        if not interval:
            return None
        self.paced = self.closed = True
        self._next = max(self._next, now) + interval
        return self._next

    def look(self, now: float) -> float | None:
        """Open what is due; gives the time to look again, if something is left."""
        self.paced = self._next > now
        opens = max(self._opens, self._rests)
        if self.shut and opens <= now:
            self._since = now  # the calls that are sent from now on will show
        self.shut = opens > now
        self.closed = self.paced or self.shut
        due = max(self._next if self.paced else 0.0, opens if self.shut else 0.0)
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
            self._since, self._before = now, self.limit
            self.limit = self._ran = max(1, min(self.limit, running))
            return None
        least = max(1, running - 1)
        if ticket.bound_at < self._since:
            self.limit = max(min(self.limit, least), self.limit - 1)
            return None
        self.limit = self._before = self._ran = max(min(self.limit, least), self._ran // 2)
        self._credit = 0.0
        self._pause = min(seconds, _LONGEST, max(_FIRST, 2 * self._pause))
        self.shut = self.closed = True
        self._opens = now + self._pause
        return self._opens

    def shut_for(self, now: float) -> float:
        """Seconds for which the engine is left alone; 0 if it isn't."""
        return max(0.0, self._opens - now, self._rests - now) if self.shut else 0.0

    def rest(self, seconds: float, now: float) -> float:
        """The engine says that it takes no more for so many seconds; gives when it opens."""
        self.shut = self.closed = True
        self._rests = max(self._rests, now + seconds)
        return self._rests

    def believe(self, ticket: Ticket, now: float) -> bool:
        """The engine answers a call: it is not busy, if the call was sent since it said so.

        Returns:
            whether it may open now.
        """
        if not self._doubtful or ticket.bound_at < self._since:
            return False
        self._doubtful = False
        self._pause = self._opens = 0.0
        self._next = min(self._next, now + self._interval)
        self.limit = self._before
        self.lowered = self.limit < self.most
        return self.closed

    def credit(self) -> None:
        """A call went well, of which `believe` was told when its answer began."""
        if self._doubtful or not self.lowered:
            return
        self._credit += 1 / self.limit
        if self._credit >= 1:
            self._credit = 0.0
            self.limit += 1
            self.lowered = self.limit < self.most
