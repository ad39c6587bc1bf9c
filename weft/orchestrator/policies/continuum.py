"""continuum: the cache of a program that waits for a tool lives for a computed time."""

from __future__ import annotations

from weft.orchestrator.estimates.ttl import memoryfulness, worthwhile
from weft.orchestrator.policies.parts import beside_claims, best, home_of
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention, policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param


@policy("continuum")
class Continuum(Policy):
    """A time to live for claims, and the oldest program first (Continuum, 2025).

    A claim lasts for the t that maximises P(away <= t) x (T x eta + reload) - t: `away` is the
    tool's time, T the mean delay that the program's calls met in the queue, eta how far the
    number of its calls is foreseeable, `reload` the time of computing its context anew.
    Programs with a claim go before others. When claims alone stop an engine, that of the
    program that came last goes first.

    The original pins blocks in the engine. Above it, a claim keeps others out instead; blocks
    of programs let in later can still push its blocks out when answers outgrow their
    expectation. Calls that the engine preempts are restarted by the engine, unseen.
    """

    ttl_max: float = param(300.0, "most seconds that a claim lasts", least=0)

    def order(self, call: CallView, view: View) -> Order:
        """Programs with a claim, then the oldest."""
        program = call.program
        if program.active:
            return Order((0.0, program.arrived), "its program is within its time to live")
        return Order((1.0, program.arrived), "the oldest program first")

    def place(self, call: CallView, view: View) -> Placement:
        """The program's home, or the engine with the most room."""
        home = home_of(call, view)
        if home is not None:
            return Placement(home, "its program is at home there", firm=True)
        chosen = best(call, view, lambda e: e.claimed - e.capacity)
        free = chosen.capacity - chosen.claimed
        return Placement(chosen, f"{free} tokens are free there, the most")

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If it fits beside running calls and claims."""
        return beside_claims(call, engine)

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """The time to live that gains most."""
        calls = view.profiles.calls(program.name)
        eta = 1.0 if calls is None else memoryfulness(calls)
        delay = program.waited / max(1, program.calls)
        reload = engine.prefill_seconds(program.context)
        away = view.profiles.away(program)
        seconds, why = worthwhile(away, delay * eta + reload)
        return Retention(
            min(seconds, self.ttl_max),
            f"{why}; a miss costs {delay:.3g} s of queue x {eta:.2f} + {reload:.3g} s of reload",
            rank=-program.arrived,
        )
