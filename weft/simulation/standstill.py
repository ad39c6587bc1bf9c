"""Standstill: calls wait in a simulation, and nothing is to come that would start them."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from weft.backends.simulated.engine import SimulatedEngine
from weft.errors import PartFailed
from weft.orchestrator.scheduler import Scheduler
from weft.parts.faults import place_of

_LONG = 1e7  # seconds, some months: a call that is overdue no sooner waits for ever


class Standstill(PartFailed):
    """A policy keeps calls waiting for ever."""


class StandstillWatch:
    """Ends a simulation that would never end by itself.

    Where no engine runs a call and no program acts, only a timer can change anything: a claim's
    end, or the time at which a call is overdue. A claim lasts as long as a lease at most. So
    after a lease in which the policy was asked nothing, it will never be asked again, unless a
    call becomes overdue.

    Args:
        scheduler: whose calls may wait.
        engines: its engines.
        lease: seconds that a program is remembered.
        scope: is cancelled when all stands still.

    Attributes:
        error: says so; None while things go on.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        engines: Sequence[SimulatedEngine],
        lease: float,
        scope: anyio.CancelScope,
    ) -> None:
        self.error: Standstill | None = None
        self._scheduler, self._engines, self._lease, self._scope = scheduler, engines, lease, scope
        self._decisions, self._since = -1, 0.0

    def look(self, now: float) -> None:
        """The clock tells that no task can run, and that none waits for a time."""
        decisions = self._scheduler.counters.decisions
        if decisions != self._decisions:
            self._decisions, self._since = decisions, now
        elif now - self._since > self._lease and self.error is None:
            self._judge(now)

    def _judge(self, now: float) -> None:
        if not all(engine.idle for engine in self._engines):
            return
        fleets = self._scheduler.dispatcher.fleets.values()
        waiting = [ticket for fleet in fleets for ticket in fleet.tickets()]
        if not waiting or min(fleet.next_overdue(now) for fleet in fleets) < now + _LONG:
            return
        policy, calls = (
            type(self._scheduler.policy),
            f"{len(waiting)} call{'s' * (len(waiting) > 1)}",
        )
        first = min(waiting, key=lambda ticket: ticket.arrival)
        self.error = Standstill(
            f"policy {policy.name or policy.__name__} keeps {calls} waiting for ever, "
            f"though every engine is idle and nothing else is to come ({place_of(policy)}): "
            f"{first.id} waits since {first.since:,.0f} s, because of {first.reason!r}; admit "
            "calls to an idle engine, or give them a time at which they are overdue"
        )
        self._scope.cancel()
