"""Graphs: the execution graph of each program, and where a live program stands in its own."""

from __future__ import annotations

import itertools
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.errors import StoreError, UsageError
from weft.orchestrator.estimates.execution_graph import ExecutionGraph
from weft.orchestrator.estimates.graph_state import OUTSIDE, State

if TYPE_CHECKING:
    from weft.orchestrator.programs.program import Program
    from weft.store.store import Store

_MOST = 500  # names of programs


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a live program still has before it; None where nothing is known of it.

    What runs now, or waits, counts as remaining. Programs that it starts are not counted, but
    the time in which it waits for them is.

    Attributes:
        calls: that have not ended.
        tokens: that engines will compute for it: prompts not cached, and answers.
        seconds: along its critical path: service and time between calls, without waiting for
            an engine.
        source: what this rests on, for people.
    """

    calls: float | None
    tokens: float | None
    seconds: float | None
    source: str


NOTHING_KNOWN = Remaining(None, None, None, "no experience, and nothing announced")


class Graphs:
    """Execution graphs by the names of programs.

    Args:
        store: where they are kept; what it knows is there from the start.
        enough: runs that make an answer.

    Raises:
        StoreError: the store's graphs can't be read.
    """

    def __init__(self, store: Store | None = None, *, enough: int = 5) -> None:
        self._store, self._enough = store, enough
        self._known: OrderedDict[str, ExecutionGraph] = OrderedDict()
        self._changed: set[str] = set()
        self._dropped: set[str] = set()
        for name, kept in (store.graphs() if store is not None else {}).items():
            try:
                self._known[name] = ExecutionGraph.load(json.loads(kept))
            except (ValueError, UsageError):
                raise StoreError(
                    f"the graph of {name} in store {store and store.name} can't be read; "
                    "use another"
                ) from None

    @property
    def changed(self) -> int:
        """How many are not written yet."""
        return len(self._changed)

    @property
    def names(self) -> list[str]:
        """Programs of which something is known."""
        return sorted(self._known)

    def get(self, name: str) -> ExecutionGraph | None:
        """The graph of a program, however few runs it rests on; None if there is none."""
        return self._known.get(name)

    def learn(self, program: Program) -> None:
        """A program has ended.

        One that was there before a restart teaches nothing: it has shown only a part of its
        course.
        """
        steps = program.trail.steps
        if not steps or steps[0].before:
            return
        name = program.name
        graph = self._known.get(name)
        if graph is None:
            graph = self._known[name] = ExecutionGraph()
            self._dropped.discard(name)
        graph.learn(steps, program.computed, program.critical)
        self._known.move_to_end(name)
        self._changed.add(name)
        while len(self._known) > _MOST:
            gone, _ = self._known.popitem(last=False)
            self._changed.discard(gone)
            self._dropped.add(gone)

    def remaining(self, program: Program) -> Remaining:
        """What a program still has before it: as announced, or else as its runs showed."""
        calls: float | None = None
        tokens: float | None = None
        seconds: float | None = None
        sources: list[str] = []
        at = self._at(program)
        if at is not None:
            graph, state = at
            sums, ahead = graph.states[state], graph.ahead(state)
            calls, tokens, seconds = ahead.calls, ahead.tokens, ahead.seconds
            if state != OUTSIDE:
                rest = self._rest(program, sums.calls / sums.width)
                step = program.trail.steps[-1]
                if rest:
                    calls += rest
                    whole = step.width * sums.tokens / sums.width
                    tokens += max(0.0, whole + step.computed - program.computed)
                    longest = sums.seconds / sums.runs + step.critical - program.critical
                    seconds += max(0.0, longest)
            sources.append(f"{graph.count} runs of {program.name or 'all programs'}")
        announced, budgeted = program.expected_calls, program.most_calls
        if announced is not None and announced > program.calls:
            calls = float(announced - program.calls)
            sources.append("calls as announced")
        if budgeted is not None and calls is not None and budgeted - program.calls < calls:
            calls = float(max(0, budgeted - program.calls))
            sources.append("calls by its budget")
        announced = program.expected_tokens
        if announced is not None and announced > program.computed:
            tokens = float(announced - program.computed)
            sources.append("tokens as announced")
        if not sources:
            return NOTHING_KNOWN
        return Remaining(calls, tokens, seconds, ", ".join(sources))

    def steps_to(self, program: Program, stage: str | None = None) -> tuple[float, float] | None:
        """When the prefix of a stage is used next by a program.

        Args:
            program: that lives.
            stage: by default the one that the program is at: whether it comes back to it.

        Returns:
            the chance that the program comes to the stage, and the steps to it if it does: 1 is
            the next one. None if nothing is known.
        """
        at = self._at(program)
        if at is None or (stage is None and at[1] == OUTSIDE):
            return None
        graph, state = at
        return graph.reaches(state, state[0] if stage is None else stage)

    def _at(self, program: Program) -> tuple[ExecutionGraph, State] | None:
        graph = self._known.get(program.name)
        if graph is None or graph.count < self._enough:
            return None
        steps = program.trail.steps
        if not steps:
            return None if program.calls else (graph, OUTSIDE)
        state = graph.nearest(steps[-1].stage, steps[-1].visit)
        return None if state is None else (graph, state)

    def _rest(self, program: Program, calls: float) -> float:
        """Calls of the current step that have not ended.

        Args:
            program: that has begun.
            calls: that each branch of such a step makes.
        """
        step = program.trail.steps[-1]
        going = float(program.running + program.waiting)
        if program.trail.settled:
            return going
        return max(going, calls * step.width - (program.calls - step.before))

    def part(self, most: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """So many of those that changed, as something that writes them, and what undoes that.

        The second is to be called if the first has failed.
        """
        names = list(itertools.islice(self._changed, most))
        kept = {name: json.dumps(self._known[name].dump()) for name in names}
        self._changed.difference_update(names)
        dropped, self._dropped = self._dropped, set()

        def write() -> None:
            if self._store is not None and (kept or dropped):
                self._store.keep_graphs(kept, dropped)

        def undo() -> None:
            self._changed.update(name for name in names if name in self._known)
            self._dropped.update(name for name in dropped if name not in self._known)

        return write, undo
