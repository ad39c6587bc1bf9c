"""saga: workflows are kept whole, by learned reuse and tools' times."""

from __future__ import annotations

from weft.orchestrator.estimates.ttl import tool_ttl
from weft.orchestrator.policies.parts import (
    allowed,
    beside_claims,
    busy,
    calls_left,
    home_of,
    missing,
    seconds,
)
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention, policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param

_TRUSTED = 30  # finished programs from which on their number of calls is believed


@policy("saga")
class Saga(Policy):
    """Keeps a workflow's cache, routes it to one place, shares by remaining work (SAGA, 2026).

    Affinity: home while its load is below `load`, else the least loaded engine. Time to live:
    the 95% quantile of the tool's time, halved as memory fills, at most `ttl_max`. Stealing: a
    call that would have to wait at home goes to an engine with room if home has more than
    `imbalance` times its load. Eviction: claims yield by the score recency x age + reuse x
    (1 - P_reuse) + size x share of memory, the highest first. Fair share: calls of programs
    with a deadline go first, by remaining work / (deadline - now); then tenants share alike.

    Above the engine eviction can't be ordered: a claim keeps others out for its time, and the
    score only decides which claim is given up when claims alone stop an engine or a resident
    program outgrows them. Ages are measured in `ttl_max`, since all grow alike. The learned
    graph of a workflow is reduced to how many calls follow, believed after 30 programs;
    running calls don't move, and prefetching is left out. Load is the share of an engine's
    slots or KV that running calls take, whichever is larger. Shares are strict: the more
    urgent program goes first, rather than more often.

    The parts are switched off by load=0, ttl_max=0, a large imbalance and fair=false.
    """

    load: float = param(0.8, "load of home from which on calls go elsewhere", least=0)
    ttl_max: float = param(300.0, "most seconds that a claim lasts", least=0, main=True)
    imbalance: float = param(2.0, "ratio of loads above which work is stolen", least=1)
    fair: bool = param(True, "order by deadlines and tenants; false is first come, first served")
    recency: float = param(0.3, "weight of a claim's age", least=0)
    reuse: float = param(0.5, "weight of the chance that it is not used again", least=0)
    size: float = param(0.2, "weight of its share of memory", least=0)

    def order(self, call: CallView, view: View) -> Order:
        """By remaining work against remaining time, then by the tenant's share."""
        program = call.program
        if not self.fair:
            return Order((), "first come, first served")
        if call.deadline is None:
            share = call.fair_start
            return Order((0.0, share), f"no deadline; its tenant had its share up to {share:.0f}")
        left, source = calls_left(program, view)
        each = program.seconds / program.calls if program.calls else 0.0
        work = left * (each or min(seconds(call, engine) for engine in view.engines))
        time = max(call.deadline - call.since, 1e-3)
        return Order(
            (-work / time, call.fair_start),
            f"{work:.3g} s of work left ({left:.3g} calls, {source}) in {time:.3g} s",
        )

    def place(self, call: CallView, view: View) -> Placement:
        """Home unless it is loaded, or work is to be stolen from it."""
        home = home_of(call, view)
        if home is not None and busy(home) < self.load and home.has_room(call):
            return Placement(home, f"home, its load is {busy(home):.2f}", firm=True)
        least = self._least(call, view)
        free = busy(least)
        if home is None:
            return Placement(least, f"load {free:.2f} is the least")
        load = busy(home)
        if load >= self.load:
            return Placement(least, f"home has load {load:.2f}, the least is {free:.2f}")
        if not least.has_room(call) or load <= self.imbalance * free:
            return Placement(home, f"home, though it is full: load {load:.2f}", firm=True)
        return Placement(least, f"stolen from home: loads {load:.2f} and {free:.2f}")

    def _least(self, call: CallView, view: View) -> EngineView:
        """The least loaded engine, if there is one of those where it fits beside claims."""
        engines = sorted(allowed(call, view), key=lambda e: (busy(e), e.claimed))
        room = [e for e in engines if e.has_room(call)]
        return next((e for e in room if missing(call, e) <= 0), (room or engines)[0])

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If it fits beside running calls and claims."""
        return beside_claims(call, engine)

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """For the tool's time to live."""
        memory = engine.claimed / engine.capacity
        away = view.profiles.away(program)
        ttl, why = tool_ttl(program.tool, away, memory, self.ttl_max)
        again = self.chance(program, view)
        # All claims age alike: their order is that of the score at one common moment.
        young = view.now / self.ttl_max if self.ttl_max else 0.0
        share = program.context / engine.capacity
        rank = self.recency * young - self.reuse * (1 - again) - self.size * share
        return Retention(ttl, f"{why}; reuse {again:.2f}", rank)

    def chance(self, program: Program, view: View) -> float:
        """P_reuse: the chance of another call, times the part of its prompt that is kept."""
        calls, done = view.profiles.calls(program.name), program.calls
        more = 0.5
        if program.expected_calls is not None:
            more = float(program.expected_calls > done)
        elif calls is not None and calls.samples >= _TRUSTED:
            came = calls.survival(done - 1)
            more = calls.survival(done) / came if came else 0.5
        new = program.computed / max(1, done)  # tokens that a call adds, on average
        return more * program.context / max(1.0, program.context + new)
