"""Roster: the engines that are there, and what follows when one comes, dies, returns or goes."""

from __future__ import annotations

from collections.abc import Callable

from weft.errors import EngineUnavailable, UnknownName
from weft.orchestrator.dispatch.binder import Binder
from weft.orchestrator.dispatch.claims import Claims
from weft.orchestrator.dispatch.fleet import Fleet
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.residents import Residents
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.timers.timer import At


class Roster:
    """The engines of a dispatcher, by model. Calls that wait for an engine are placed anew.

    Args:
        binder: binds calls to engines.
        claims: room on engines that programs keep.
        residents: programs that are known.
        profiles: what is known of programs.
        clock: the time in seconds.
        at: has a callback called at a time.

    Attributes:
        fleets: the engines of each model that was ever served.
        patience: seconds that calls wait for an engine to come back when none is left.
    """

    def __init__(
        self,
        binder: Binder,
        claims: Claims,
        residents: Residents,
        profiles: Profiles,
        clock: Callable[[], float],
        at: At,
    ) -> None:
        self._binder, self._claims, self._residents = binder, claims, residents
        self._profiles, self._clock, self._at = profiles, clock, at
        self.fleets: dict[str, Fleet] = _Fleets()
        self.patience = 0.0

    def add(self, replica: Replica) -> None:
        """Take an engine in."""
        model = replica.engine.model
        fleet = self.fleets.get(model)
        if fleet is None:
            overdue = self._binder.serve_overdue
            fleet = Fleet(model, self._profiles, self._clock, self._at, overdue)
            self.fleets[model] = fleet
        fleet.add(replica)
        self.back(replica)

    def remove(self, replica: Replica) -> list[Ticket]:
        """Let an engine go that may be well: calls that run there run on, none follows.

        What waits for it is placed anew; returns what no engine is left for.
        """
        fleet = replica.fleet
        fleet.replicas.remove(replica)
        replica.retire()
        self._claims.release_all(replica, "its engine was taken out of service")
        self._residents.homeless(replica)
        return self._place_anew(replica, fleet)

    def take_out(self, replica: Replica, error: Exception) -> list[Ticket]:
        """An engine died. What waits for it is placed anew; returns what no engine is left for."""
        replica.take_out(error)
        self._claims.release_all(replica, "its engine is lost")
        return self._place_anew(replica, replica.fleet)

    def renew(self, replica: Replica) -> None:
        """Another process serves at an engine's address: nothing of what it held is left."""
        self._claims.release_all(replica, "its engine was restarted")
        replica.forget()
        self._residents.homeless(replica)
        if replica.alive:
            self._binder.serve(replica)

    def _place_anew(self, replica: Replica, fleet: Fleet) -> list[Ticket]:
        """Place calls that waited for an engine on others; returns those that can't be."""
        fleet.refresh()
        now = fleet.tick()
        tickets, promised = replica.queue.take_all(), replica.empties_for
        replica.waiting_for = None
        if not fleet.engines:
            tickets += fleet.apart.take_all() + fleet.common.take_all()
            fleet.lost = now
            if self.patience:
                self._at(now + self.patience, lambda: self._end_outage(fleet))
        fleet.waiting -= len(tickets)
        for ticket in tickets:
            ticket.emptied = None
            ticket.program.waiting -= 1
        go_on = bool(fleet.engines) or self.expected(fleet)
        orphans: list[Ticket] = []
        for ticket in tickets:
            call = ticket.call
            stays = fleet.engines or (go_on and call.stays)
            if not stays or (call.only and not fleet.living_for(call)):
                orphans.append(ticket)
            else:
                self._binder.enqueue(ticket, fleet)
        if promised is not None and promised.queue is fleet.apart:
            self._binder.put_back(promised, fleet)
        # The next call may have waited for the engine though another one has room.
        self._binder.serve_common(fleet)
        for ticket in orphans:
            self._residents.idle(ticket.program, None, now)
        return orphans

    def _end_outage(self, fleet: Fleet) -> None:
        """No engine came back in time, unless one did."""
        if fleet.engines or self.expected(fleet):
            return
        orphans = fleet.stranded.take_all()
        fleet.waiting -= len(orphans)
        now = fleet.tick()
        for ticket in orphans:
            ticket.program.waiting -= 1
            self._residents.idle(ticket.program, None, now)
            ticket.wake()
        self._tell_watchers(fleet)

    def _tell_watchers(self, fleet: Fleet) -> None:
        watchers, fleet.watchers = fleet.watchers, []
        for watcher in watchers:
            watcher()

    def back(self, replica: Replica) -> None:
        """An engine answers again."""
        replica.alive, replica.error = True, None
        fleet = replica.fleet
        fleet.refresh()
        fleet.tick()
        stranded = fleet.stranded.take_all()
        fleet.waiting -= len(stranded)
        for ticket in stranded:
            ticket.program.waiting -= 1
            self._binder.enqueue(ticket, fleet)
        self._tell_watchers(fleet)
        self._binder.serve(replica)

    def drain(self, replica: Replica, draining: bool = True) -> None:
        """Give an engine no new programs, or again."""
        replica.draining = draining
        self._binder.serve(replica)

    def no_engine(self, fleet: Fleet, *only: str) -> EngineUnavailable:
        """The error for calls that no engine is left for, or none of those that they need."""
        last = [r.error for r in fleet.replicas if r.error and (not only or r.name in only)]
        why = f": {last[-1]}" if last else ""
        if only:
            names = " or ".join(only)
            return EngineUnavailable(f"{names}, which alone can run this call, is away{why}")
        waited = self.patience and fleet.replicas
        back = f", and none came back within {self.patience:g} s" if waited else ""
        return EngineUnavailable(f"no engine that serves {fleet.model!r} is left{back}{why}")

    def expected(self, fleet: Fleet) -> bool:
        """Whether an engine of a fleet that has none left may still come back."""
        return bool(fleet.replicas) and self._clock() < fleet.lost + self.patience


class _Fleets(dict[str, Fleet]):
    """The fleets by their models; of a model that nobody serves it says so."""

    def __missing__(self, model: str) -> Fleet:
        raise UnknownName("model", model, self)
