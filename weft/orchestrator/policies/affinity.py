"""sticky, cap: programs that stay on one engine, and how many of them an engine takes."""

from __future__ import annotations

import math

from weft.orchestrator.policies.parts import best, home_of, resides
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention, policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param


@policy("sticky")
class Sticky(Policy):
    """A program stays on the engine that it got first; the oldest program goes first.

    New programs go to the engine with the fewest. Programs that live are counted between
    their calls too: that is all that their claims are for.
    """

    def order(self, call: CallView, view: View) -> Order:
        """The oldest program first."""
        arrived = call.program.arrived
        return Order((arrived,), f"its program came at {arrived:.3f}, the oldest goes first")

    def place(self, call: CallView, view: View) -> Placement:
        """The program's home, or the engine with the fewest programs."""
        home = home_of(call, view)
        if home is not None:
            return Placement(home, "its program is at home there", firm=True)
        chosen = best(call, view, lambda e: (e.programs, e.in_flight))
        return Placement(chosen, f"{chosen.programs} programs live there, the fewest")

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """Until the program ends."""
        return Retention(math.inf, "programs stay until they end")


@policy("cap")
class Cap(Sticky):
    """`sticky` with at most k programs an engine, the others wait outside in order of arrival.

    What a careful operator sets by hand, and so the measure for any admission control: with the
    right k, contexts of resident programs fit the engine's KV, none is evicted while its
    program waits for a tool, and nothing needs to be predicted. With k beyond the number of
    programs it is `sticky`.
    """

    k: int = param(8, "programs that may live on an engine at once", least=1, main=True)

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If its program lives there already, or there are fewer than k."""
        if resides(call.program, engine):
            return Admission(True, "its program lives there")
        lives = f"{engine.programs} of {self.k} programs live there"
        return Admission(engine.programs < self.k, lives)
