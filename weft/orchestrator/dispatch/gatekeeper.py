"""Gatekeeper: what follows when an engine says that it is busy, or begins to answer again."""

from __future__ import annotations

from weft.orchestrator.dispatch.binder import Binder
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.timers.timer import At


class Gatekeeper:
    """Shuts and opens the gates of engines, and has served what may go through.

    Args:
        binder: binds calls to engines.
        at: has a callback called at a time.
    """

    def __init__(self, binder: Binder, at: At) -> None:
        self._binder, self._at = binder, at

    def note_busy(self, ticket: Ticket, seconds: float) -> None:
        """A call's engine says that it is busy, and to come again after so many seconds."""
        replica = ticket.replica
        assert replica is not None
        fleet, gate = replica.fleet, replica.gate
        now = fleet.tick()
        opens = gate.lower(ticket, replica.in_flight, seconds, now)
        replica.concurrency = gate.limit
        if opens is not None:
            self._shut(replica, opens)

    def note_used_up(self, ticket: Ticket, seconds: float) -> None:
        """A call's engine says that its limits are used up, for so many seconds."""
        replica = ticket.replica
        assert replica is not None
        seconds = min(seconds, replica.engine.retry.longest)
        self._shut(replica, replica.gate.rest(seconds, replica.fleet.tick()))

    def _shut(self, replica: Replica, opens: float) -> None:
        """An engine gets no call until a time."""
        fleet = replica.fleet
        self.look_later(replica, opens)
        fleet.refresh()
        if replica not in fleet.engines:  # others may have room
            waiting = replica.queue.take_all()
            fleet.waiting -= len(waiting)
            for other in waiting:
                other.program.waiting -= 1
                self._binder.enqueue(other, fleet)

    def note_begun(self, ticket: Ticket) -> None:
        """A call's engine begins to answer."""
        replica = ticket.replica
        if replica is not None and replica.gate.lowered:
            opens = replica.gate.believe(ticket, replica.fleet.tick())
            replica.concurrency = replica.gate.limit
            if opens:
                self._look(replica)
            else:
                self._binder.serve(replica)

    def look_later(self, replica: Replica, due: float) -> None:
        """At a time an engine's next call may be due."""
        self._at(due, lambda: self._look(replica))

    def _look(self, replica: Replica) -> None:
        """An engine's next call may be due."""
        fleet, shut = replica.fleet, replica.gate.shut
        due = replica.gate.look(fleet.tick())
        if due is not None:
            self.look_later(replica, due)
        if shut and not replica.gate.shut:
            fleet.refresh()
            self._binder.probe(replica)
        self._binder.serve(replica)
