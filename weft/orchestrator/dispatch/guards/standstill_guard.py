"""StandstillGuard: calls that wait though nothing is to come that would start them start anyway."""

from __future__ import annotations

from collections.abc import Callable

from weft.orchestrator.dispatch.binder import Binder
from weft.orchestrator.dispatch.claims import Claims
from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.orchestrator.dispatch.fleet import Fleet
from weft.orchestrator.dispatch.guards.guarded_policy import GuardedPolicy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.timers.timer import At

STANDSTILL = 30.0
"""Seconds of a standstill after which calls take the plain way, by default."""

_SELF_MADE = 1.0  # seconds of a standstill for which claims of programs that wait themselves hold
_LONG = 1e7  # seconds, some months: a call that is overdue no sooner waits for ever
_LOOK = 1.0  # seconds between two looks at a fleet in which calls wait


class StandstillGuard:
    """Looks from time to time at fleets in which calls wait, and ends a standstill.

    All stands still where calls wait, no engine runs one, and nothing that is due would change
    that: no call becomes overdue, no engine is asked again, and no claim ends by itself. A claim
    of a program that waits itself does not, nor does that of a program which such a one works
    for: these claims go first. If that starts nothing, the policy lets nobody in. Then all calls
    that wait take the plain way.

    Args:
        binder: binds calls to engines.
        claims: of programs.
        policy: asked by the binder; says what was wrong.
        counters: of decisions.
        clock: the time in seconds.
        at: has a callback called at a time.
        patience: seconds of a standstill after which calls take the plain way; None for never.
    """

    def __init__(
        self,
        binder: Binder,
        claims: Claims,
        policy: GuardedPolicy,
        counters: DispatchCounters,
        clock: Callable[[], float],
        at: At,
        patience: float | None,
    ) -> None:
        self._binder, self._claims, self._policy, self._counters = binder, claims, policy, counters
        self._clock, self._at, self._patience = clock, at, patience
        self._interval = _LOOK if patience is None else min(_LOOK, patience / 4)
        self._since: dict[Fleet, tuple[float, int]] = {}

    def watch(self, fleet: Fleet) -> None:
        """Look at a fleet in which a call waits, until none does."""
        fleet.watched = True
        self._at(self._clock() + self._interval, lambda: self._look(fleet))

    def _look(self, fleet: Fleet) -> None:
        if fleet.waiting <= len(fleet.stranded):
            fleet.watched = False
            self._since.pop(fleet, None)
            return
        now = fleet.tick()
        claiming = self._holding(fleet, now)
        if claiming is None:
            self._since.pop(fleet, None)
        else:
            since, started = self._since.setdefault(fleet, (now, self._counters.started))
            if started != self._counters.started:
                self._since[fleet] = now, self._counters.started
            elif claiming and now - since >= _SELF_MADE:
                self._release(claiming)
            elif self._patience is not None and now - since >= self._patience:
                self._start_plainly(fleet, now - since)
        self.watch(fleet)

    def _holding(self, fleet: Fleet, now: float) -> list[Program] | None:
        """Programs with claims, where all stands still; None where something is to come."""
        if not fleet.engines or any(replica.in_flight for replica in fleet.replicas):
            return None
        if any(replica.gate.closed for replica in fleet.living):
            return None
        waiting: set[Program] = set()
        for ticket in fleet.tickets():
            if now < ticket.overdue < now + _LONG:
                return None
            program: Program | None = ticket.program
            while program is not None and program not in waiting:
                waiting.add(program)
                program = program.parent
        claiming = [program for replica in fleet.replicas for program in replica.claiming]
        return claiming if waiting.issuperset(claiming) else None

    def _release(self, claiming: list[Program]) -> None:
        """Take claims away, the latest program's first, until a call starts."""
        started = self._counters.started
        for program in sorted(claiming, key=lambda one: one.arrived, reverse=True):
            home = program.home
            if home is not None and program.claim:
                self._counters.revoked += 1
                self._claims.release(program, "nothing else runs, and it waits itself")
                self._binder.serve(home)
            if self._counters.started != started:
                return

    def _start_plainly(self, fleet: Fleet, seconds: float) -> None:
        """Have all calls that wait take the plain way, in the order in which they came."""
        tickets = self._binder.take_waiting(fleet)
        refused = next((ticket for ticket in tickets if ticket.refused), tickets[0])
        self._policy.note_standstill(refused.reason, seconds)
        for ticket in tickets:
            ticket.plain = True
            self._counters.unanswered["admit"] += 1
        for ticket in tickets:
            self._binder.enqueue(ticket, fleet)
