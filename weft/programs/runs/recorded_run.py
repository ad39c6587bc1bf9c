"""What was recorded of a run, drawn: its spans, graph, figures and page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.programs.history.journal import Event
from weft.types import Usage

if TYPE_CHECKING:
    import networkx as nx

    from weft.programs.figures.spans import Span


class RecordedRun:
    """A run by its events, whether it is over, still goes on, or has failed.

    Attributes:
        events: what happened, in order.
    """

    events: list[Event]

    @property
    def spans(self) -> dict[str, Span]:
        """Programs, nodes, fan-outs and calls by their ids, with what became of each."""
        from weft.programs.figures.spans import spans_of

        known: tuple[int, dict[str, Span]] | None = vars(self).get("_spans")
        if known is None or known[0] != len(self.events):
            vars(self)["_spans"] = known = len(self.events), spans_of(self.events)
        return known[1]

    @property
    def graph(self) -> nx.DiGraph[str]:
        """Programs, nodes, fan-outs and calls, each a node, with data and prefix edges."""
        from weft.programs.figures.graph import graph_of

        return graph_of(self.spans)

    @property
    def usage_by_model(self) -> dict[str, Usage]:
        """The part of `usage` that each model has, in the order of their first calls."""
        found: dict[str, Usage] = {}
        for span in self.spans.values():
            used = span.outcome.usage if span.outcome is not None else span.spent
            if used is not None:
                found[span.model] = found.get(span.model, Usage()) + used
        return found

    def mermaid(self) -> str:
        """The run as a Mermaid flowchart. Spans of one name in one place are drawn as one."""
        from weft.programs.figures.folding import folded_graph
        from weft.programs.figures.mermaid import mermaid

        return mermaid(folded_graph(self.spans))

    def svg(self) -> str:
        """The same flowchart as an SVG picture."""
        from weft.programs.figures.folding import folded_graph
        from weft.programs.figures.svg import svg

        return svg(folded_graph(self.spans))

    def page(self) -> str:
        """The run as an HTML page by itself: time line, graph, prompts, tools and reasons."""
        from weft.programs.figures.page import page

        return page(self.spans)
