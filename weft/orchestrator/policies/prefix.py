"""prefix, fair: where most of the prompt is cached, weighed against load."""

from __future__ import annotations

from weft.orchestrator.policies.parts import best, home_of, load
from weft.orchestrator.policy import Order, Placement, Policy, policy
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param


@policy("prefix")
class Prefix(Policy):
    """First come, first served; where most of the prompt is cached, weighed against load.

    The cost of an engine is what it would have to prefill, in tokens, plus `load_tokens` for
    each call in flight there; ties go to the one with less KV in use. This is the rule of the
    prefix-aware routers of 2025 (AIBrix, llm-d, SGLang's cache_aware) on an exact index.

    With `affinity` a program stays at home while that has at most `overload` times as many
    calls, running and waiting, as the mean engine, or has room: prefix-aware routing with
    session affinity, the baseline of SAGA (2026).
    """

    load_tokens: float = param(
        32.0, "tokens of prefill that one call in flight outweighs", least=0, main=True
    )
    affinity: bool = param(False, "programs stay at home unless it is overloaded")
    overload: float = param(2.0, "load of an overloaded engine over the mean", least=1)

    def place(self, call: CallView, view: View) -> Placement:
        """The cheapest engine; with affinity, the program's home."""
        if self.affinity and (home := home_of(call, view)) is not None:
            mean = sum(map(load, view.engines)) / len(view.engines)
            if home.has_room(call) or load(home) <= self.overload * mean:
                return Placement(home, "its program is at home there", firm=True)
        chosen = best(call, view, lambda e: (self.cost(call, e), e.reserved))
        cached, calls = chosen.cached(call), chosen.in_flight
        return Placement(
            chosen, f"{cached} of {call.prompt_tokens} tokens cached, {calls} in flight"
        )

    def cost(self, call: CallView, engine: EngineView) -> float:
        """Tokens of prefill, and what calls in flight amount to."""
        return call.prompt_tokens - engine.cached(call) + self.load_tokens * engine.in_flight


@policy("fair")
class Fair(Prefix):
    """Tenants share the engines equally, by tokens; placement as `prefix`.

    Start-time fair queueing (Goyal, Vin and Cheng 1996): a call's start tag is the larger of
    the virtual time and its tenant's finish tag, to which its prompt and expected answer are
    then added; the smallest start tag goes first. While two tenants both have calls waiting,
    what they have had differs by at most the largest call of each. The engine itself knows no
    tenants: fair is what enters, not how fast it runs there.
    """

    def order(self, call: CallView, view: View) -> Order:
        """The smallest start tag first."""
        start, tenant = call.fair_start, call.program.tenant
        return Order((start,), f"start tag {start:.0f} of tenant {tenant!r}")
