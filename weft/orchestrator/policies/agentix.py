"""agentix: least attained service, of programs."""

from __future__ import annotations

from weft.orchestrator.policies.parts import best, home_of
from weft.orchestrator.policy import Order, Placement, Policy, policy
from weft.orchestrator.views import CallView, View
from weft.parts.parameters import param


@policy("agentix")
class Agentix(Policy):
    """Programs that have had the least service go first (Agentix, 2026; Autellix in 2025).

    `variant=plas` counts a program's service in sum; `atlas`, for programs with parallel
    calls, along the longest chain of its calls. Both are the same where calls follow one
    another. Service is sorted into `queues`, the first up to `quantum` seconds, each next one
    `growth` times as far; within one it is first come, first served. A call of a later queue
    is promoted to the front, ahead of new programs too, when its program's waiting, this
    call's included, reaches `beta` times its service: the bound on starvation. Prompts up to
    `short` tokens go to the engine least used, longer ones home.

    Above the engine calls are ordered when they enter; the original also demotes a call
    between two tokens when it has used up its queue's quantum.
    """

    variant: str = param("plas", "what counts as service", choices=("plas", "atlas"), main=True)
    queues: int = param(8, "queues of different priority", least=1)
    quantum: float = param(2.0, "seconds of service that the first queue covers", above=0)
    growth: float = param(2.0, "ratio of one queue's bound to the one before it", above=1)
    beta: float = param(10.0, "waiting over service at which a call is promoted", least=0)
    short: int = param(2048, "tokens of a prompt that may go anywhere", least=0)

    def order(self, call: CallView, view: View) -> Order:
        """By the queue of the program's service."""
        program = call.program
        served = program.seconds if self.variant == "plas" else program.critical
        queue = self.queue(served)
        reason = f"queue {queue + 1} of {self.queues}: {served:.3g} s of service"
        if queue == 0:
            return Order((0.0,), reason)
        # waited + (t - since) = beta x served, solved for t.
        overdue = call.since + max(0.0, self.beta * served - program.waited)
        return Order((float(queue),), reason, overdue)

    def queue(self, served: float) -> int:
        """The queue of so many seconds of service, from 0 on."""
        queue, bound = 0, self.quantum
        while served >= bound and queue < self.queues - 1:
            queue, bound = queue + 1, bound * self.growth
        return queue

    def place(self, call: CallView, view: View) -> Placement:
        """The engine least used if the prompt is short, else home."""
        home = home_of(call, view)
        if home is not None and call.prompt_tokens > self.short:
            return Placement(home, f"{call.prompt_tokens} tokens are long: home", firm=True)
        chosen = best(call, view, lambda e: (e.in_flight, e.reserved))
        return Placement(chosen, f"least used: {chosen.in_flight} calls in flight")
