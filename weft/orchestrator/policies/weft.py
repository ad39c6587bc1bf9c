"""weft: the default policy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from weft.orchestrator.estimates.ttl import holding
from weft.orchestrator.policies.parts import (
    allowed,
    critical_path,
    demand,
    home_of,
    load,
    resides,
    results_needed,
)
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention, policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView, EngineView, View
from weft.parts.parameters import param

_NEARLY_NONE = 1e-9  # an index by which a program's calls are divided
_GROWTH = 0.1  # of a context with each call, without experience
_ENTERS, _DISPLACES, _WAITS = range(3)
_RESIDENT_URGENT, _RESIDENT, _URGENT_NEW, _NEW, _LATE = -1.0, 0.0, 0.5, 1.0, 2.0
_URGENT = 0.5  # of the time left is needed: the call goes before others
_STEP = 8192  # tokens of prompts that an engine computes beside running calls in one step
_LOAD = 8  # tokens of prefill that one call of an engine outweighs
_FAR = 1.5  # times as dear that an engine must be before a call leaves what is cached there
_FULL = 2  # times as many calls, if the engine is full
_WHOLE = 0.9  # of a prompt: with more cached, no other engine is looked for
_OUTGROWN = 0.75  # of a claim must be lacking before it yields to a resident that grew
# Times as long as loading its context again takes, an idle engine waits for a program
_AWAITED = 2.0  # whose claim would have to yield,
_AWAITED_TO_GROW = 0.5  # or only may have to, once the others have grown.
_USUAL = 1000  # tokens of a batch's call, where the batch has not declared any
_LITTLE = 0.02  # of a call's own time in an engine: more work that is worth less waiting


@policy("weft")
class Weft(Policy):
    """Keeps programs whole: as many at a time as an engine's KV holds, the shortest first.

    While there is room everything is admitted at once. A call goes where most of its prompt is
    cached, unless an engine that is far less busy has room; without much cached anywhere it goes
    where it will be answered soonest, by the engine's measured speeds. When KV is short, a
    program enters only if its context fits beside those that are resident; among those that
    wait, the one goes first that is expected to need the least KV for the least time: the
    calls that it announced or that its budget allows, or else the Gittins index of its number
    of calls (Gittins 1979), times its context. A program that waits for a tool keeps its room
    as long as that costs the engine less than loading its context again would, and yields it
    to one that has far less work left.

    Calls of residents go before new programs, those of the program that came first before others',
    and where a part of a fan-out is enough, those of the program that needs the fewest results.
    Calls of a batch are ordered as a new program with all of the batch's work, and among themselves
    so that those whose prompts begin alike follow each other. A call with a deadline goes before
    them if it needs more than half of the time that is left, the one with the least slack first:
    slack is what its critical path leaves, by what its program's runs showed. One that can't be in
    time any more has no such precedence, and if its program is new it yields to all others; what
    was begun is brought to its end.

    An engine that runs nothing reserves nothing, neither for growth nor by `fill`, once its weakest
    program has been away for half as long as loading its context again would take. If claims are
    in the way there, the weakest yields after twice that loading time. A call that has waited for
    `patience` goes before all others and needs no admission; its engine takes in nothing else
    until it has room. That is the bound on starvation.
    """

    fill: float = param(0.95, "share of KV that resident programs may take", above=0, most=1)
    reload: float = param(
        1.0, "weight of loading a context again, against the room it takes", least=0, most=100
    )
    swap: float = param(
        16.0, "how many times as much work a program has left that is displaced", least=1, most=1e9
    )
    horizon: float = param(
        8.0, "calls by whose growth contexts are counted larger at admission", least=0, most=100
    )
    patience: float = param(3600.0, "seconds after which a call goes before all others", above=0)

    def order(self, call: CallView, view: View) -> Order:
        """Who makes a deadline by being first; then residents; then the least expected work."""
        program, overdue = call.program, call.since + self.patience
        late = False
        if call.deadline is not None:
            path, left = critical_path(call, view), call.deadline - call.since
            late = path > left
            if not late and path > _URGENT * left:
                start = call.deadline - path
                kind = _RESIDENT_URGENT if program.active else _URGENT_NEW
                return Order((kind, start), f"to be in time it must start by {start:.3f}", overdue)
        if call.rank and not late:
            work = _whole(program)
            why = f"its batch has {work:.3g} tokens of work in all"
            return Order((_NEW, work, program.arrived, *call.rank), why, overdue)
        if program.active:
            needed = results_needed(call)
            why = "its program is resident" + (f" and needs {needed} results" if needed else "")
            return Order((_RESIDENT, float(needed), program.arrived), why, overdue)
        work, source = self._work(program, call.prompt_tokens, view)
        why = f"{work:.3g} tokens x calls of work left ({source})"
        if late:
            return Order((_LATE, work), f"it can't be in time and yields; {why}", overdue)
        return Order((_NEW, work), why, overdue)

    def _work(self, program: Program, context: int, view: View) -> tuple[float, str]:
        """Expected work: calls still to come, times the context that they hold meanwhile."""
        done = program.calls
        announced = program.expected_calls
        if announced is not None and announced > done:
            return float((announced - done) * context), "announced"
        known = view.profiles.calls(program.name)
        if known is None:
            further = view.profiles.further_calls(program.name, done)
            calls, source = further.value, further.source
        else:
            index = known.gittins(done)
            calls, source = 1.0 / (index if index > _NEARLY_NONE else _NEARLY_NONE), known.source
        most = program.most_calls
        if most is not None and most - done < calls:
            calls, source = max(1.0, most - done), "its budget of calls"
        work = calls * context
        if program.most_tokens is not None:
            left = max(1.0, program.most_tokens - program.computed)
            if left < work:
                work, source = left, "its budget of tokens"
        return work, source

    def place(self, call: CallView, view: View) -> Placement:
        """Where its program holds a claim, or its prompt is cached; else the soonest answer.

        A home is a branch's, not a program's: siblings may run on several engines, and what
        goes on from an answer, its verdict included, goes where that answer is cached. A claim
        does not tie a program to an engine without a slot while another one is far less busy.
        """
        home = home_of(call, view)
        engines = allowed(call, view)
        if home is not None and call.program.claim:
            # A claim is on room for a context; a slot for the call is another matter.
            full = home.in_flight >= home.concurrency and len(engines) > 1
            away = self._away(call, home, engines, view) if full else None
            if away is None:
                return Placement(home, "its program holds a claim there", firm=True)
            why = f"its program holds a claim on {home.name}, which runs all calls that it can"
            return Placement(away, why)
        if home is not None:
            near, cached = home, home.cached(call)
            # Another branch may be nearer.
            if cached < _WHOLE * call.prompt_tokens and len(engines) > 1:
                near = max(engines, key=lambda e: (e.cached(call), e is home))
                cached = near.cached(call)
            if cached > call.prompt_tokens / 2:
                why = f"{cached} of {call.prompt_tokens} tokens are cached"
                away = self._away(call, near, engines, view)
                if away is None:
                    firm = call.program.resident or self._fits(call, near, self._growth(call, view))
                    return Placement(near, f"{why} there", firm)
                return Placement(away, f"{why}, on {near.name}, which is far busier")
        known = call.program.home is not None
        best = engines[0] if len(engines) == 1 else self._best(call, engines, known, view)
        cached = best.cached(call)
        why = "answered soonest there" if known else "there is most room to live"
        return Placement(best, f"{why}: {cached} of {call.prompt_tokens} tokens cached")

    def _best(
        self, call: CallView, engines: Sequence[EngineView], known: bool, view: View
    ) -> EngineView:
        """The engine on which a call is answered soonest, or a new program has most room."""
        growth = self._growth(call, view)
        best: EngineView | None = None
        least: tuple[int, float, int] = (_WAITS, math.inf, 0)
        for engine in engines:
            if self._fits(call, engine, growth):
                start = _ENTERS
            else:  # one that runs nothing takes it, if others must yield
                start = _WAITS if engine.in_flight or not engine.has_room(call) else _DISPLACES
            if best is not None and start > least[0]:
                continue
            cost = self._seconds(call, engine) if known else self._crowd(call, engine)
            mine = (start, cost, engine.claimed)
            if best is None or mine < least:
                best, least = engine, mine
        assert best is not None
        return best

    def _away(
        self, call: CallView, near: EngineView, engines: Sequence[EngineView], view: View
    ) -> EngineView | None:
        """The engine that is so much less busy that the call is better off there, if any."""

        def cost(engine: EngineView) -> float:
            return call.prompt_tokens - engine.cached(call) + _LOAD * load(engine)

        if near.has_room(call):
            other = min(engines, key=load)
            leaves = cost(near) > _FAR * cost(other)
        else:  # the call would wait there until another ends
            other = min(engines, key=demand)
            leaves = demand(near) > _FULL * demand(other)
        return other if leaves and self._fits(call, other, self._growth(call, view)) else None

    def _crowd(self, call: CallView, engine: EngineView) -> float:
        """Tokens that a new program would have to load, and share the engine with.

        Calls that run there wait for a long prompt step by step, so it counts for each of them.
        """
        uncached = call.prompt_tokens - engine.cached(call)
        long = uncached - _STEP if uncached > _STEP else 0
        return float(uncached + long * engine.in_flight + engine.attached)

    def _fits(self, call: CallView, engine: EngineView, growth: float) -> bool:
        """Whether it would be admitted there without displacing anyone, at once or soon.

        Where nothing runs, the engine first waits a little for its weakest program.
        """
        if not engine.has_room(call):
            return False
        programs = engine.programs
        if not programs or resides(call.program, engine):
            return True
        if not engine.in_flight:
            return engine.claimed + engine.need(call) <= engine.capacity
        room, least = self.fill * engine.capacity - engine.claimed, growth * (programs + 1)
        # What the call needs, less what is shared, is dear to find out.
        return room >= least and room - engine.need(call) >= least

    def _room(self, call: CallView, engine: EngineView) -> float:
        """Tokens of KV left if the call came in beside running calls and claims."""
        return self.fill * engine.capacity - engine.claimed - engine.need(call)

    def _growth(self, call: CallView, view: View) -> float:
        """Tokens by which each program, the call's and the residents, will soon have grown."""
        name, prompt = call.program.name, call.prompt_tokens
        return (
            self.horizon
            * view.profiles.returns(name)
            * view.profiles.growth(name, _GROWTH * prompt)
        )

    def _seconds(self, call: CallView, engine: EngineView) -> float:
        """How long the call takes there, and by how much it holds up those that run there."""
        uncached = call.prompt_tokens - engine.cached(call)
        batch = engine.in_flight
        prefill = engine.prefill_seconds(uncached)
        if not prefill:
            return float(uncached + 32 * batch)  # tokens, while the speed is not known
        alone, shared = engine.decode_seconds(max(batch, 1)), engine.decode_seconds(batch + 1)
        return prefill * (1 + batch) + call.answer_tokens * (shared + batch * (shared - alone))

    def admit(self, call: CallView, engine: EngineView, view: View) -> Admission:
        """If it fits beside the resident programs, or may displace one."""
        room = self._room(call, engine)
        if resides(call.program, engine):
            # Contexts grow: residents may in time want more than there is. The engine evicts what
            # is lacking and no more, so a claim yields only when nearly all of it is needed.
            room += call.program.claim
            yields = engine.weakest if room < 0 else None
            if yields is None or -room < _OUTGROWN * yields.claim:
                return Admission(True, "its program is resident")
            return Admission(False, f"it grew by {-room:.0f} tokens too many", yields)
        room -= self._growth(call, view) * (engine.programs + 1)
        if room >= 0 or not engine.programs:
            return Admission(True, f"it leaves {round(room) if room > 0 else 0} tokens unclaimed")
        why = f"it lacks {-room:.0f} tokens beside running calls and claims"
        weakest = engine.weakest
        if not engine.in_flight:
            if weakest is None:
                return Admission(True, f"{why}, but nothing runs there")
            fits = engine.claimed + engine.need(call) <= engine.capacity
            until = self._expected_until(weakest, engine, _AWAITED_TO_GROW if fits else _AWAITED)
            if view.now < until:
                return Admission(False, f"{why}; {weakest.id} may be back at once", again=until)
            if fits:
                return Admission(True, f"{why}, but nothing runs there")
            return Admission(False, f"{why}, but nothing runs there: {weakest.id} yields", weakest)
        if weakest is None:
            return Admission(False, why)
        reload, own = self._reload(weakest, engine, view), self._seconds(call, engine)
        if reload < _LITTLE * own and engine.prefill_seconds(weakest.context):
            return Admission(False, f"{why}; {weakest.id} is soon loaded again", weakest)
        work, _ = self._work(call.program, call.prompt_tokens, view)
        if -weakest.rank > self.swap * work:
            return Admission(False, f"{why}; {weakest.id} has more work left", weakest)
        return Admission(False, why)

    def _expected_until(self, program: Program, engine: EngineView, times: float) -> float:
        """Until when an engine that runs nothing waits for a program between two calls.

        That is `times` as long as loading its context again would take: so waiting in vain costs
        at most a multiple of what the better choice would have (ski rental, Karlin et al. 1988).
        """
        if program.acting is None:
            return -math.inf
        reload = engine.prefill_seconds(program.context)
        return program.acting + times * self.reload * reload

    def _reload(self, program: Program, engine: EngineView, view: View) -> float:
        """Seconds that loading a program's context again is expected to take."""
        reload = engine.prefill_seconds(program.context)
        # Most single requests are all there is of their program: nothing comes back for those.
        return reload * view.profiles.returns(program.name) if program.calls == 1 else reload

    def retain(self, program: Program, engine: EngineView, view: View) -> Retention:
        """As long as keeping the room costs less than loading the context again."""
        work, _ = self._work(program, program.context, view)
        reload = self.reload * engine.prefill_seconds(program.context)
        if not reload and self.reload:
            return Retention(math.inf, "the engine's speed is not known yet", -work)
        share = program.context / engine.capacity
        away, back = view.profiles.away(program), 1.0
        if program.silent:  # it may be over
            back = view.profiles.goes_on(program.name, program.calls)
        seconds, why = holding(away, reload, share, back)
        return Retention(
            seconds, f"{why}; {reload:.2g} s to load it again, {share:.0%} of the room", -work
        )


def _whole(program: Program) -> float:
    """Tokens of work that a batch has in all; what works for the batch counts as it."""
    work, at = 0.0, program
    while at is not None:
        work = max(work, float(at.expected_tokens or (at.expected_calls or 1) * _USUAL))
        at = at.parent
    return work
