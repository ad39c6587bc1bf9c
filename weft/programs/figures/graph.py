"""The graph of a run, span by span, for code that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from weft.programs.figures.spans import Span

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]


def graph_of(spans: Mapping[str, Span]) -> Graph:
    """What a run has done and announced, as a directed graph.

    Nodes have `kind` (`program`, `node`, `fan_out`, `call`), `label`, `status` (`running`,
    `done`, `stopped` early, `cancelled`, `failed`), `began` and `ended` (seconds of the run) and,
    for calls, `outcome` and `engine`. Edges have `kind`: `contains` (a program and its spans),
    `prefix` (a call whose prompt goes on from what an earlier call produced), `data` (a call,
    node or fan-out that was given what an earlier call or node gave: the very value, or one in
    which the value lies).
    """
    import networkx as nx  # takes as long to import as all the rest

    graph: Graph = nx.DiGraph()
    for id, span in spans.items():
        label = f"{span.name} x {span.width}" if span.kind == "fan_out" else span.name
        graph.add_node(id, kind=span.kind, label=label, status=span.status)
        node = graph.nodes[id]
        node["began"], node["ended"] = span.began, span.ended
        if span.engine:
            node["engine"] = span.engine
        if span.outcome is not None:
            node["outcome"] = span.outcome
        if span.parent is not None:
            graph.add_edge(span.parent, id, kind="contains")
        if span.follows is not None and span.follows in graph:
            graph.add_edge(span.follows, id, kind="prefix")
        for used in span.uses:
            if used in graph and not graph.has_edge(used, id):
                graph.add_edge(used, id, kind="data")
    return graph
