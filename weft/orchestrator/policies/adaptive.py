"""adaptive: a cap on programs that finds itself."""

from __future__ import annotations

from weft.orchestrator.policies.affinity import Sticky
from weft.orchestrator.policies.parts import resides
from weft.orchestrator.policy import Admission, policy
from weft.orchestrator.views import CallView, EngineView, View


@policy("adaptive")
class Adaptive(Sticky):
    """`cap` with a k that grows by one, and halves when KV is full (as prime-rl does, 2026).

    Additive increase and multiplicative decrease, as TCP has it: the limit of programs on an
    engine grows by one while less than 80% of its KV is in use, and falls to half of those that
    live there at 95%. So it needs no tuning, and is what `cap` has to be measured against where
    nobody knows the right k.

    The original looks at the engine's own KV use. Here room counts as used that running calls and
    programs between calls take. `weft serve` also reads the engines' preemptions, each of which
    halves the limit like KV that is full. A program that lives on an engine stays there when the
    limit falls. An engine that runs nothing, since all of its programs wait for tools, takes in
    one more.
    """

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If its program lives there already, there are fewer than the limit, or nothing runs."""
        if resides(call.program, engine):
            return Admission(True, "its program lives there")
        if not engine.in_flight:
            return Admission(True, "nothing runs there")
        lives = f"{engine.programs} of {engine.window:g} programs live there"
        return Admission(engine.programs < engine.window, lives)
