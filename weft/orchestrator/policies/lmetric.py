"""lmetric: new prefill tokens times batch size."""

from __future__ import annotations

from weft.orchestrator.policies.parts import best, load
from weft.orchestrator.policy import Placement, Policy, policy
from weft.orchestrator.views import CallView, EngineView, View


@policy("lmetric")
class LMetric(Policy):
    """The engine with the smallest product of new prefill tokens and batch size (LMetric, 2026).

    New prefill tokens are those of the prompt that the engine does not have cached: what the
    call costs there. The batch is the calls that run or wait there, this one included: what
    each of its tokens has to share the engine with. A product needs no weight between the two,
    so there is no parameter. Equal products go to the engine with less KV in use.

    The original sends each request at once, and counts what waits in the engine. Here a call
    waits in weft while no engine has room, and is placed again when one has.
    """

    def place(self, call: CallView, view: View) -> Placement:
        """The engine with the smallest product."""
        chosen = best(call, view, lambda e: (self.product(call, e), e.reserved))
        new, batch = self.factors(call, chosen)
        return Placement(chosen, f"{new} new tokens x {batch} calls is the least")

    def product(self, call: CallView, engine: EngineView) -> int:
        """What is compared."""
        new, batch = self.factors(call, engine)
        return new * batch

    def factors(self, call: CallView, engine: EngineView) -> tuple[int, int]:
        """New prefill tokens, at least the last one of the prompt, and the batch."""
        return max(1, call.prompt_tokens - engine.cached(call)), load(engine) + 1
