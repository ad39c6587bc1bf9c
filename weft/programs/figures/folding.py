"""Folding: spans of one name are shown as one, with how many of them ended how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weft.programs.figures.spans import Span, SpanKind, Status
from weft.types import NOTHING, Usage

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]

_APART = 4  # spans of one name within one span that are shown one by one
_WORDS: dict[Status, str] = {
    "done": "done",
    "stopped": "stopped early",
    "cancelled": "cancelled",
    "failed": "failed",
    "running": "running",
}


@dataclass(slots=True)
class Fold:
    """Spans that are shown as one.

    Attributes:
        kind: of all of them.
        name: of all of them.
        members: the spans, in the order in which they began.
        branches: of fan-outs whose branches are nodes: these nodes.
        inside: what lies in them.
        usage: of all calls among them and within.
        engines: how many of these calls went to each.
    """

    kind: SpanKind
    name: str
    members: list[Span]
    branches: list[Span] = field(default_factory=list[Span])
    inside: list[Fold] = field(default_factory=list["Fold"])
    usage: Usage = NOTHING
    engines: Counter[str] = field(default_factory=Counter[str])

    @property
    def counts(self) -> Counter[Status]:
        """How many of them, or of their branches, ended how."""
        counted = self.branches or self.members
        if self.kind != "fan_out" or self.branches:
            return Counter(span.status for span in counted)
        counts: Counter[Status] = Counter()
        for span in self.members:
            ended = span.width if span.settled is None else span.settled
            rest: Status = "stopped" if span.status == "done" else span.status
            counts["done"] += ended if span.ended is not None else 0
            counts[rest] += span.width - (ended if span.ended is not None else 0)
        return +counts

    @property
    def seconds(self) -> float | None:
        """From the first one's beginning to the last one's end; None if one has not ended."""
        ends = [span.ended for span in self.members if span.ended is not None]
        if len(ends) < len(self.members):
            return None
        return max(ends) - self.members[0].began

    @property
    def title(self) -> str:
        """`judge`, or `propose x 24: 23 done, 1 stopped early`."""
        counts = self.counts
        number = sum(counts.values())
        title = self.name
        if self.kind == "fan_out" or len(self.members) > 1:
            title += f" x {number}"
        if self.kind == "fan_out" and len(self.members) > 1:
            title += f" in {len(self.members)} fan-outs"
        if counts.keys() <= {"done"}:
            return title
        if number == 1 and self.kind != "fan_out":
            return f"{title}: {_WORDS[next(iter(counts))]}"
        return f"{title}: " + ", ".join(
            f"{counts[status]} {word}" for status, word in _WORDS.items() if counts[status]
        )

    @property
    def costs(self) -> str:
        """Time, tokens and engines, as far as there are any."""
        said: list[str] = []
        if (seconds := self.seconds) is not None:
            said.append(f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:,.0f} s")
        used = self.usage
        if used.calls:
            said.append(f"{used.prompt:,} + {used.completion + used.cancelled:,} tokens")
        if self.engines:
            names = [f"{n} x {k}" if k > 1 else n for n, k in self.engines.most_common(3)]
            more = len(self.engines) - 3
            said.append("on " + ", ".join(names) + (f" and {more} more" if more > 0 else ""))
        return ", ".join(said)

    @property
    def status(self) -> Status:
        """The gravest of theirs."""
        counts = self.counts
        order: tuple[Status, ...] = ("failed", "running", "cancelled", "done")
        for status in order:
            if counts[status]:
                return status
        return "stopped"


class Folding:
    """The spans of a run, folded.

    Args:
        spans: of the run, by their ids.
    """

    def __init__(self, spans: Mapping[str, Span]) -> None:
        self._inside: dict[str | None, list[Span]] = {}
        for span in spans.values():
            self._inside.setdefault(span.parent if span.parent in spans else None, []).append(span)

    def within(self, span: Span | None) -> list[Fold]:
        """What lies directly in a span, or at the top of the run."""
        family = self._inside.get(None if span is None else span.id, [])
        return self._folds([family], span is not None and span.kind == "fan_out")

    def _folds(self, families: Sequence[Sequence[Span]], always: bool) -> list[Fold]:
        """Children of some spans; `always` folds those of a name however few they are."""
        named: dict[tuple[SpanKind, str], list[Span]] = {}
        for family in families:
            for span in family:
                named.setdefault((span.kind, span.name), []).append(span)
        groups: list[list[Span]] = []
        for group in named.values():
            together = always or len(group) > _APART
            groups += [group] if together else [[span] for span in group]
        return [self._fold(group) for group in sorted(groups, key=lambda g: g[0].began)]

    def _fold(self, members: list[Span]) -> Fold:
        kind, name = members[0].kind, members[0].name
        families = [self._inside.get(span.id, []) for span in members]
        folds = self._folds(families, kind == "fan_out" or len(members) > 1)
        made = Fold(kind, name, members, inside=folds)
        if kind == "fan_out" and len(folds) == 1:
            (only,) = folds
            if only.name == name and only.kind in ("node", "program"):
                made.branches, made.inside = only.members, only.inside
        for span in members:
            if span.outcome is not None and not span.stored:
                made.usage += span.outcome.usage
            if span.engine:
                made.engines[span.engine] += 1
        for one in made.inside:
            made.usage += one.usage
            made.engines += one.engines
        return made


def folded_graph(spans: Mapping[str, Span]) -> Graph:
    """A run as a graph that stays readable: spans of one name in one place are one node.

    Nodes have `kind`, `status` and `label`: what they are, and a line with time, tokens and
    engines. Edges have the kinds of `graph_of`.
    """
    import networkx as nx  # takes as long to import as all the rest

    graph: Graph = nx.DiGraph()
    place: dict[str, str] = {}

    def add(one: Fold, parent: str | None) -> None:
        id = f"n{len(graph)}"
        label = "\n".join(filter(None, (one.title, one.costs)))
        graph.add_node(id, kind=one.kind, status=one.status, label=label)
        if parent is not None:
            graph.add_edge(parent, id, kind="contains")
        place.update({span.id: id for span in (*one.members, *one.branches)})
        for inner in one.inside:
            add(inner, id)

    for one in Folding(spans).within(None):
        add(one, None)
    for span in spans.values():
        links = [("prefix", span.follows), *(("data", used) for used in span.uses)]
        for kind, origin in links:
            start, end = place.get(origin or ""), place[span.id]
            if start is not None and start != end and not graph.has_edge(start, end):
                graph.add_edge(start, end, kind=kind)
    return graph
