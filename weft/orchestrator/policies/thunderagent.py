"""thunderagent: programs are active or paused, so that the active ones fit the KV cache."""

from __future__ import annotations

import math

from weft.orchestrator.policies.parts import best, home_of, lives, resides
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention, policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param

_ACTIVE, _RESUMED = 0.95, 0.85  # shares of KV that Dynamo gives to active programs, and to others
_LEASE = 1800.0  # seconds


@policy("thunderagent")
class ThunderAgent(Policy):
    """Pauses and resumes whole programs by their tokens (ThunderAgent, 2026).

    A program is active as long as it runs or holds a claim; its tokens, and `per_program` for
    each, count against the engine's KV. When an active program's next call makes that
    overflow, programs between calls are paused, that is lose their claims, the smallest first;
    where there are none, the smallest that ends a call is. Paused programs go where most room
    is once they fit: those that have run before new ones, the smallest first; after `patience`
    without asking.

    `variant=dynamo` is what NVIDIA Dynamo made of it (2026): active programs may take 95% of the
    KV, others resume or come in up to 85%, a program with a tool yields to those that wait, and
    one that asks for nothing is active for a lease of 30 minutes. Tokens are counted exactly, as
    they are here in both variants. Its priorities within the engine are left out.

    All of this is above the engine. The originals look every 5 seconds at the engine's
    metrics; here it happens at each call's beginning and end, on the scheduler's own count, so
    nothing overflows in between. Their decay lets waiting programs count another's tokens as
    2^-t, or e^-t, after t seconds with a tool; a view shows the weakest claim only, so here a
    claim yields to those that wait once a second has passed. In no variant do programs with a
    tool keep others out of an engine that runs nothing. Each claim that yields is a decision of
    its own, so Dynamo's pausing ends at 95%, not at 80%. Paused programs that ask for nothing
    are not resumed: nobody would notice.
    """

    variant: str = param("paper", "whose version it is", choices=("paper", "dynamo"))
    acting_weight: float = param(1.0, "weight of tokens of programs between calls", least=0)
    per_program: int = param(100, "tokens set aside for each active program", least=0)
    decay: bool = param(False, "programs with a tool yield to waiting ones after 1 s")
    patience: float = param(1800.0, "seconds after which a paused program resumes", above=0)

    def order(self, call: CallView, view: View) -> Order:
        """Active programs, then paused ones, then new ones; the smallest first."""
        program = call.program
        if program.active:
            return Order((0.0,), "its program is active")
        size = float(call.prompt_tokens)
        overdue = call.since + self.patience
        if program.calls:
            return Order((1.0, size), f"its program is paused and has {size:.0f} tokens", overdue)
        return Order((2.0, size), f"its program is new and has {size:.0f} tokens", overdue)

    def place(self, call: CallView, view: View) -> Placement:
        """Home while the program is active, else where most room is."""
        home = home_of(call, view) if call.program.active else None
        if home is not None:
            return Placement(home, "its program is active there", firm=True)
        chosen = best(call, view, lambda e: e.claimed - e.capacity)
        free = chosen.capacity - chosen.claimed
        return Placement(chosen, f"{free} tokens are free there, the most")

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If its tokens fit beside those of active programs; active ones pause others."""
        program = call.program
        active = program.active
        own = program.claim if lives(program, engine) else 0
        others = engine.programs + (0 if resides(program, engine) else 1)
        lacks = self._used(engine, engine.claimed - own, others) + engine.need(call)
        dynamo = self.variant == "dynamo"
        lacks -= engine.capacity * ((_ACTIVE if active else _RESUMED) if dynamo else 1)
        if lacks <= 0 or not engine.programs:
            return Admission(True, "its tokens fit beside those of active programs")
        why = f"it lacks {lacks:.0f} tokens beside active programs"
        weakest = engine.weakest
        if weakest is None:
            return Admission(active, f"{why}, but its program is active" if active else why)
        away = view.now - weakest.acting if weakest.acting is not None else 0.0
        yields = (self.decay or dynamo) and away > 1
        if active or yields or not engine.in_flight:
            return Admission(False, f"{why}; {weakest.id} of {weakest.claim} is paused", weakest)
        return Admission(False, why)

    def _used(self, engine: EngineView, claimed: int, programs: int) -> float:
        """Tokens that count against the engine's KV."""
        acting = claimed - engine.reserved
        return engine.reserved + self.acting_weight * acting + self.per_program * programs

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """Until it ends or is paused; at once if tokens overflow and it is the smallest."""
        size = program.context
        used = self._used(engine, engine.claimed + size, engine.programs + 1)
        weakest = engine.weakest
        most = engine.capacity * (_ACTIVE if self.variant == "dynamo" else 1)
        if used > most and (weakest is None or size <= weakest.rank):
            return Retention(0.0, f"paused: tokens overflow by {used - most:.0f}")
        if self.variant == "dynamo":
            return Retention(_LEASE, "active for its lease, or until paused", rank=float(size))
        return Retention(math.inf, "active until it ends or is paused", rank=float(size))
