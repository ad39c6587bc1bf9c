"""llumnix: dispatch to the engine with the most freeness."""

from __future__ import annotations

import math

from weft.orchestrator.policies.parts import best
from weft.orchestrator.policy import Placement, Policy, policy
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param


@policy("llumnix")
class Llumnix(Policy):
    """The engine with the most freeness gets the call (Llumnix, 2024).

    Freeness is (KV capacity - virtual usage) / batch: how many more steps an engine can go on
    before its memory is full. Virtual usage is what running calls hold or may come to need,
    and the demand of the call that is first in the queue, which here is the one to be placed;
    an engine that drains is infinitely used and gets nothing new.

    Llumnix then moves running calls between engines by copying their KV. An unmodified engine
    can't: here calls are bound late instead, when an engine has room, which does for waiting
    calls what migration does. Its priorities, headroom for some calls, are left out.
    """

    batch: bool = param(True, "freeness is per running call; false compares free KV alone")

    def place(self, call: CallView, view: View) -> Placement:
        """The freest engine."""
        chosen = best(call, view, lambda e: -self.freeness(call, e))
        free = self.freeness(call, chosen)
        calls = f"{chosen.in_flight} calls run there"
        return Placement(chosen, f"freeness {free:.0f} is the most: {calls}")

    def freeness(self, call: CallView, engine: EngineView) -> float:
        """Tokens that are free beside virtual usage, for each call that runs."""
        if engine.draining:
            return -math.inf
        free = engine.capacity - engine.reserved - engine.need(call)
        return free / max(1, engine.in_flight) if self.batch else float(free)
