"""cachewise: room goes to the programs whose tools will soonest be done."""

from __future__ import annotations

import math

from weft.orchestrator.policies.parts import allowed, best, home_of, missing, resides, seconds
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention, policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View


@policy("cachewise")
class CacheWise(Policy):
    """Reuse is predicted from the tool that was called (CacheWise and CacheSage, 2026).

    A context is expected to be used again when the tool that its program waits for is done, by
    what was learned of that tool. Room is kept for all, and the context that is needed last
    yields first: to any call that will have ended before that. What is cached decides where a
    call goes, and calls that have most of their prompt cached go first.

    The originals order eviction within the engine. Above it a claim keeps others out instead, and
    the engine evicts what was used longest ago.
    """

    def order(self, call: CallView, view: View) -> Order:
        """The fewest tokens to compute first."""
        if call.program.active:
            return Order((0.0,), "its context is kept")
        new = call.prompt_tokens - max(engine.cached(call) for engine in view.engines)
        return Order((1.0, float(new)), f"{new} tokens are cached nowhere")

    def place(self, call: CallView, view: View) -> Placement:
        """Where most of the prompt is cached, or else where most room is."""
        program = call.program
        if home_of(call, view) is not None:
            near = max(allowed(call, view), key=lambda e: (e.cached(call), resides(program, e)))
            cached = near.cached(call)
            if 2 * cached >= call.prompt_tokens or resides(program, near):
                why = f"{cached} of {call.prompt_tokens} tokens are cached"
                return Placement(near, why, firm=True)
        chosen = best(call, view, lambda e: e.claimed - e.capacity)
        free = chosen.capacity - chosen.claimed
        return Placement(chosen, f"{free} tokens are free there, the most")

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If it fits beside contexts that are needed before it has ended."""
        lacks = missing(call, engine)
        if lacks <= 0:
            return Admission(True, "it fits beside the contexts that are kept")
        weakest = engine.weakest
        if weakest is None:
            idle = not engine.in_flight or resides(call.program, engine)
            return Admission(idle, f"it lacks {lacks} tokens, and no context is left to give up")
        why = f"it lacks {lacks} tokens; {weakest.id} is needed in {-weakest.rank - view.now:.3g} s"
        ended = view.now + seconds(call, engine)
        if resides(call.program, engine) or not engine.in_flight or ended < -weakest.rank:
            return Admission(False, f"{why}, and yields", weakest)
        return Admission(False, why)

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """Until room is needed; the one that is needed last yields first."""
        away = view.profiles.away(program)
        back = view.now + away.mean
        return Retention(math.inf, f"needed in {away.mean:.3g} s ({away.source})", rank=-back)
