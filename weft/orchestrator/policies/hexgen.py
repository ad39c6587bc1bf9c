"""hexgen: engines by speed against load, calls by urgency."""

from __future__ import annotations

import math

from weft.orchestrator.policies.parts import allowed, calls_left, load, seconds
from weft.orchestrator.policy import Order, Placement, Policy, policy
from weft.orchestrator.views import CallView, View
from weft.parts.parameters import param


@policy("hexgen")
class HexGen(Policy):
    """Deadlines are split over stages, the most urgent call goes first (HexGen-Text2SQL, 2025).

    The engine with the highest alpha x (t_ref / t) - (1 - alpha) x (load / load_ref) gets the
    call: t is the time that it would take there by the measured rates, cached tokens taken off,
    t_ref the shortest; load is calls running and waiting, load_ref the most. alpha=1 looks at
    speed only, alpha=0 at load only.

    A call's budget is what is left until its program's deadline, times its share of the time
    that the remaining calls are expected to take; time that earlier calls did not use is so
    split anew. Its urgency at time t is its own time - (budget - waited). All urgencies grow
    alike, so the order is that of the latest moment to start. Calls without a deadline go
    last, in order of arrival.

    The original tunes alpha by replaying recent traces in a simulator: `weft tune` does.
    """

    alpha: float = param(0.5, "weight of speed against load", least=0, most=1, main=True)

    def order(self, call: CallView, view: View) -> Order:
        """By the latest moment to start."""
        program = call.program
        if call.deadline is None:
            return Order((math.inf,), "it has no deadline")
        own, mean = self._expected(call, view)
        left, source = calls_left(program, view)
        left = max(1.0, left / call.siblings)  # those of a fan-out run at once
        share = own / (own + (left - 1) * mean) if own else 1 / left
        budget = share * (call.deadline - call.since)
        start = call.since + budget - own
        return Order(
            (start,),
            f"{budget:.3g} s are its share of what is left, it takes {own:.3g} s "
            f"({left:.3g} stages to come, {source}): start by {start:.3f}",
        )

    def _expected(self, call: CallView, view: View) -> tuple[float, float]:
        """Seconds of this call, and of one of the program's; 0 if not known yet."""
        program = call.program
        own = min(seconds(call, engine) for engine in view.engines)
        mean = program.seconds / program.calls if program.calls else own
        return own or mean, mean or own

    def place(self, call: CallView, view: View) -> Placement:
        """The engine with the highest score; the call waits for it."""
        engines = allowed(call, view)
        times = [seconds(call, engine) for engine in engines]
        if not all(times):  # a speed is not known yet: as if all were alike
            tokens = call.prompt_tokens + call.answer_tokens
            times = [float(tokens - engine.cached(call)) for engine in engines]
        loads = [*map(load, engines)]
        quickest, most = min(times), max(1, *loads)

        def score(i: int) -> float:
            return self.alpha * quickest / times[i] - (1 - self.alpha) * loads[i] / most

        best = max(range(len(engines)), key=score)
        return Placement(
            engines[best],
            f"score {score(best):.3f}: {quickest / times[best]:.2f} of the quickest's speed, "
            f"{loads[best]} calls where most have {most}",
            firm=True,
        )
