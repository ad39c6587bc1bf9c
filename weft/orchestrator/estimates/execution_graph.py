"""ExecutionGraph: what the runs of one program were like, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import UsageError
from weft.orchestrator.estimates.absorbing_chain import expected_sums
from weft.orchestrator.estimates.graph_state import OUTSIDE, State, StateSums
from weft.orchestrator.programs.trail import TrailStep

_VISITS = 32
_STAGES = 64  # that are told apart in one program
_OTHER = "(other)"  # in place of further ones
_RUNS = 1024.0  # weight at which all weights are halved
_LIGHT = 0.05  # runs: states that weigh less are forgotten


@dataclass(frozen=True, slots=True)
class Ahead:
    """What follows, in the mean.

    Attributes:
        calls: of the program.
        tokens: that engines will compute for it: prompts not cached, and answers.
        seconds: along the critical path: of service, and between calls.
        steps: calls, where all calls of a stage in one fan-out count as one.
    """

    calls: float
    tokens: float
    seconds: float
    steps: float


@dataclass(frozen=True, slots=True)
class StageSummary:
    """A stage as a figure shows it: means over all visits.

    Attributes:
        visits: by a run.
        calls: of a visit.
        width: of its fan-out.
        tokens: that engines compute in a visit.
        seconds: of service that a visit takes.
        next: the chance of each stage to follow; the end has the name "".
        tools: by what runs do afterwards: the chance of each, and its mean seconds.
    """

    visits: float
    calls: float
    width: float
    tokens: float
    seconds: float
    next: dict[str, float]
    tools: dict[str, tuple[float, float]]


class ExecutionGraph:
    """A Markov chain over the steps of a program, learned from whole runs.

    A state is a stage and how often the run has come to it. So a loop that is run three times
    each time is expected three times, and one without a fixed number is expected to end as it
    did in others. It is SAGA's agent execution graph (2026), with the critical path beside it.
    All means are exact; from 1024 runs on, the older half of them weighs half.
    """

    def __init__(self) -> None:
        self.count = 0
        """Runs that were ever learned from."""
        self.states: dict[State, StateSums] = {}
        self._ahead: dict[State, Ahead] = {}
        self._hits: dict[str, dict[State, tuple[float, float]]] = {}
        self._stale = 0

    @property
    def runs(self) -> float:
        """How many runs it is worth."""
        begin = self.states.get(OUTSIDE)
        return begin.leaving if begin is not None else 0.0

    def learn(self, steps: Sequence[TrailStep], computed: int, critical: float) -> None:
        """A run has ended.

        Args:
            steps: that it took; if there are none, nothing is learned.
            computed: tokens that engines computed for it in all.
            critical: seconds of service along its critical path.
        """
        if not steps:
            return
        at = self._known(OUTSIDE)
        for i, step in enumerate(steps):
            last = i + 1 == len(steps)
            state = self._state(step.stage, step.visit)
            at.next[state] = at.next.get(state, 0.0) + 1
            at.away += step.away
            if step.away:
                number, seconds = at.tools.get(step.tool, (0.0, 0.0))
                at.tools[step.tool] = (number + 1, seconds + step.away)
            at = self._known(state)
            at.runs += 1
            at.calls += step.calls
            at.width += step.width
            at.tokens += (computed if last else steps[i + 1].computed) - step.computed
            at.seconds += (critical if last else steps[i + 1].critical) - step.critical
        at.next[OUTSIDE] = at.next.get(OUTSIDE, 0.0) + 1
        self.count += 1
        if self.runs >= _RUNS:
            self._age()

    def _state(self, stage: str, visit: int) -> State:
        state = stage, min(visit, _VISITS)
        if state not in self.states and len(self.states) >= _STAGES:
            names = {name for name, _ in self.states}
            if len(names) >= _STAGES and stage not in names:
                return _OTHER, state[1]
        return state

    def _known(self, state: State) -> StateSums:
        found = self.states.get(state)
        if found is None:
            found = self.states[state] = StateSums()
        return found

    def _age(self) -> None:
        for sums in self.states.values():
            sums.halve()
        light = {s for s, sums in self.states.items() if s != OUTSIDE and sums.runs < _LIGHT}
        for state in light:
            del self.states[state]
        for sums in self.states.values():
            for state in light & sums.next.keys():  # whoever went there has ended
                sums.next[OUTSIDE] = sums.next.get(OUTSIDE, 0.0) + sums.next.pop(state)

    # What is asked of it

    def nearest(self, stage: str, visit: int) -> State | None:
        """The state of a run at a stage, or that of an earlier visit; None if nobody was there."""
        for seen in range(min(visit, _VISITS), 0, -1):
            if (stage, seen) in self.states:
                return stage, seen
        return None

    @property
    def begin(self) -> Ahead:
        """A whole run."""
        return self.ahead(OUTSIDE)

    def ahead(self, state: State) -> Ahead:
        """What follows when the step at a state, or OUTSIDE, is over.

        Raises:
            UsageError: no run was there.
        """
        self._refresh(state)
        if state not in self._ahead:
            gains: dict[State, tuple[float, ...]] = {}
            for s, sums in self.states.items():
                total = sums.leaving
                calls = tokens = seconds = steps = 0.0
                for t, weight in sums.next.items():
                    if t != OUTSIDE:
                        p, there = weight / total, self.states[t]
                        calls += p * there.calls / there.runs
                        tokens += p * there.tokens / there.runs
                        seconds += p * there.seconds / there.runs
                        steps += p
                gains[s] = (calls, tokens, seconds + sums.away / total, steps)
            sums_of = expected_sums(self._chain(), gains)
            self._ahead = {s: Ahead(*values) for s, values in sums_of.items()}
        return self._ahead[state]

    def reaches(self, state: State, stage: str) -> tuple[float, float]:
        """The chance that a run comes to a stage after a state, and the steps to it if it does.

        With a chance of 0 the steps are infinite.

        Raises:
            UsageError: no run was at the state.
        """
        self._refresh(state)
        known = self._hits.get(stage)
        if known is None or state not in known:
            known = self._hits[stage] = self._reach(stage)
        return known[state]

    def _reach(self, stage: str) -> dict[State, tuple[float, float]]:
        chain = self._chain()
        comes = {s: sum(p for t, p in row.items() if t[0] == stage) for s, row in chain.items()}
        apart = {s: {t: p for t, p in r.items() if t[0] != stage} for s, r in chain.items()}
        chance = {s: x for s, (x,) in expected_sums(apart, {s: (comes[s],) for s in apart}).items()}
        # Of those that come to it, each step before counts once.
        counted = {s: (chance[s],) for s in apart}
        steps = expected_sums(apart, counted)
        return {
            s: (chance[s], steps[s][0] / chance[s]) if chance[s] > 0 else (0.0, float("inf"))
            for s in apart
        }

    def _chain(self) -> dict[State, dict[State, float]]:
        chain: dict[State, dict[State, float]] = {}
        for s, sums in self.states.items():
            total = sums.leaving
            chain[s] = {t: w / total for t, w in sums.next.items() if t != OUTSIDE}
        return chain

    def _refresh(self, state: State) -> None:
        """Forget what was worked out from too few of the runs that are known by now."""
        if state not in self.states:
            raise UsageError(f"no run was at {state[0]!r}; ask for one of `states`")
        if self.count > self._stale:
            self._ahead, self._hits = {}, {}
            self._stale = self.count + self.count // 16

    def stages(self) -> dict[str, StageSummary]:
        """All stages by name, with "" for the beginning."""
        made: dict[str, StageSummary] = {}
        for stage in dict.fromkeys(name for name, _ in self.states):
            own = [sums for (name, _), sums in self.states.items() if name == stage]
            # Nobody makes calls outside.
            runs = sum(s.runs for s in own) or 1.0
            leaving = sum(s.leaving for s in own)
            follow: dict[str, float] = {}
            tools: dict[str, tuple[float, float]] = {}
            for sums in own:
                for (name, _), weight in sums.next.items():
                    follow[name] = follow.get(name, 0.0) + weight / leaving
                for tool, (number, seconds) in sums.tools.items():
                    n, s = tools.get(tool, (0.0, 0.0))
                    tools[tool] = (n + number, s + seconds)
            made[stage] = StageSummary(
                sum(s.runs for s in own) / self.runs,
                sum(s.calls for s in own) / runs,
                sum(s.width for s in own) / runs,
                sum(s.tokens for s in own) / runs,
                sum(s.seconds for s in own) / runs,
                follow,
                {tool: (n / leaving, s / n) for tool, (n, s) in tools.items()},
            )
        return made

    # How it is kept

    def dump(self) -> dict[str, Any]:
        """What was learned, as JSON takes it; see `load`."""
        return {
            "count": self.count,
            "states": [
                [
                    *state,
                    [s.runs, s.calls, s.width, s.tokens, s.seconds, s.away],
                    [[*to, weight] for to, weight in s.next.items()],
                    {tool: list(known) for tool, known in s.tools.items()},
                ]
                for state, s in self.states.items()
            ],
        }

    @classmethod
    def load(cls, data: Any) -> ExecutionGraph:
        """The graph that `dump` described.

        Raises:
            UsageError: the data is none of `dump`.
        """
        made = cls()
        try:
            made.count = int(data["count"])
            for stage, visit, numbers, following, tools in data["states"]:
                runs, calls, width, tokens, seconds, away = (float(x) for x in numbers)
                made.states[str(stage), int(visit)] = StateSums(
                    runs,
                    calls,
                    width,
                    tokens,
                    seconds,
                    {(str(name), int(seen)): float(weight) for name, seen, weight in following},
                    away,
                    {str(tool): (float(n), float(s)) for tool, (n, s) in tools.items()},
                )
            made._check()
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UsageError("this is no execution graph as weft writes it") from None
        return made

    def _check(self) -> None:
        """Raises ValueError unless from everywhere there is a way to the end."""
        if not self.states:
            return
        before: dict[State, list[State]] = {s: [] for s in self.states}
        ends: list[State] = []
        for s, sums in self.states.items():
            if s != OUTSIDE and not sums.runs > 0:
                raise ValueError
            for t, weight in sums.next.items():
                if not weight > 0 or (t != OUTSIDE and t not in before):
                    raise ValueError
                if t == OUTSIDE:
                    ends.append(s)
                else:
                    before[t].append(s)
        reached: set[State] = set()
        while ends:
            s = ends.pop()
            if s not in reached:
                reached.add(s)
                ends += before[s]
        if len(reached) != len(self.states) or OUTSIDE not in reached:
            raise ValueError
