"""The graph of a run, read from its journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from weft.programs.history.journal import Event
from weft.programs.prompt import Prompt

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]

_MARKS = {"done": "", "cancelled": " ✗", "failed": " ⚡", "running": " …"}


def graph_of(events: Iterable[Event]) -> Graph:
    """What a run has done and announced, as a directed graph.

    Nodes have `kind` (`program`, `node`, `fan_out`, `call`), `label`, `status` (`running`,
    `done`, `cancelled`, `failed`) and, for calls, `outcome` and `engine`. Edges have `kind`:
    `contains` (a program and its parts), `prefix` (a call whose prompt goes on from what an
    earlier call produced), `data` (a call, node or fan-out that was given what an earlier call or
    node gave: the very value, or one in which the value lies).
    """
    import networkx as nx  # takes as long to import as all the rest

    graph: Graph = nx.DiGraph()
    for event in events:
        data = event.data
        if event.kind in ("program", "node", "fan_out", "call"):
            graph.add_node(event.id, kind=event.kind, label=_label(event), status="running")
            if event.parent is not None:
                graph.add_edge(event.parent, event.id, kind="contains")
            if event.kind == "call":
                _link(graph, event.id, data["prompt"])
            for used in data.get("uses", ()):
                if used in graph and not graph.has_edge(used, event.id):
                    graph.add_edge(used, event.id, kind="data")
        elif event.id in graph:
            if event.kind == "sent":
                graph.nodes[event.id]["engine"] = data["engine"]
            else:
                graph.nodes[event.id]["status"] = event.kind
            if (outcome := data.get("outcome")) is not None:
                graph.nodes[event.id]["outcome"] = outcome
    return graph


def _link(graph: Graph, call: str, prompt: Prompt) -> None:
    """An edge to a call from the one whose answer its prompt goes on from."""
    for piece in prompt.lineage():
        if piece.call is not None:
            if piece.call in graph:
                graph.add_edge(piece.call, call, kind="prefix")
            return


def _label(event: Event) -> str:
    data: dict[str, Any] = event.data
    match event.kind:
        case "fan_out":
            return f"{data.get('name') or 'fan_out'} x {data['width']}"
        case "call":
            return f"{'score' if data['score'] else 'generate'} ({data['role']})"
        case _:
            return data["name"]


def mermaid(graph: Graph) -> str:
    """A Mermaid flowchart: containment as lines, prefixes thick, data dotted."""
    names = {node: f"n{i}" for i, node in enumerate(graph)}
    shapes = {"program": ("([", "])"), "node": ("[", "]"), "fan_out": ("{{", "}}")}
    arrows = {"contains": "---", "prefix": "==>", "data": "-.->"}
    lines = ["flowchart TD"]
    for node, data in graph.nodes(data=True):
        left, right = shapes.get(data["kind"], ("(", ")"))
        label = data["label"].replace('"', "'") + _MARKS[data["status"]]
        lines.append(f'  {names[node]}{left}"{label}"{right}')
    for start, end, data in graph.edges(data=True):
        lines.append(f"  {names[start]} {arrows[data['kind']]} {names[end]}")
    return "\n".join(lines)
