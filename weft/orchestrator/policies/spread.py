"""fcfs, round_robin, least_loaded: policies that know nothing of programs."""

from __future__ import annotations

from weft.orchestrator.policies.parts import best
from weft.orchestrator.policy import Placement, Policy, policy
from weft.orchestrator.views import CallView, View


@policy("fcfs")
class Fcfs(Policy):
    """First come, first served, on the engine that has room and the fewest calls in flight."""

    def place(self, call: CallView, view: View) -> Placement:
        """The engine with the fewest calls."""
        chosen = best(call, view, lambda e: e.in_flight)
        return Placement(chosen, f"{chosen.in_flight} calls in flight, the fewest")


@policy("round_robin")
class RoundRobin(Policy):
    """Engines in turn, whatever they do: call i goes to engine i modulo their number."""

    def place(self, call: CallView, view: View) -> Placement:
        """The engine whose turn it is; the call waits for it."""
        at = call.arrival % len(view.engines)
        return Placement(view.engines[at], f"engine {at} has its turn", firm=True)


@policy("least_loaded")
class LeastLoaded(Policy):
    """First come, first served, on the engine whose running calls need the least KV.

    Ties go to the engine with fewer calls in flight.
    """

    def place(self, call: CallView, view: View) -> Placement:
        """The engine with the least KV in use."""
        chosen = best(call, view, lambda e: (e.reserved, e.in_flight))
        return Placement(chosen, f"{chosen.reserved} tokens of KV in use, the least")
