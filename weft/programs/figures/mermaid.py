"""Mermaid: a graph as a flowchart in text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.programs.figures.labels import shown

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]

_SHAPES = {
    "program": ("([", "])"),
    "node": ("[", "]"),
    "fan_out": ("{{", "}}"),
    "end": ("((", "))"),
}
_ARROWS = {"contains": "---", "prefix": "==>", "data": "-.->", "next": "-->"}
_MARKS = {"cancelled": " ✗", "failed": " ⚡", "running": " …"}


def mermaid(graph: Graph) -> str:
    """A Mermaid flowchart: containment as lines, prefixes thick, data dotted, order as arrows.

    Args:
        graph: with `label`, `kind` and perhaps `status` of nodes, `kind` and perhaps `label` of
            edges.
    """
    names = {node: f"n{i}" for i, node in enumerate(graph)}
    lines = ["flowchart TD"]
    for node, data in graph.nodes(data=True):
        left, right = _SHAPES.get(data["kind"], ("(", ")"))
        label = _text(data["label"]) + _MARKS.get(data.get("status", ""), "")
        lines.append(f'  {names[node]}{left}"{label}"{right}')
    for start, end, data in graph.edges(data=True):
        said = f'|"{_text(data["label"])}"|' if data.get("label") else ""
        lines.append(f"  {names[start]} {_ARROWS[data['kind']]}{said} {names[end]}")
    return "\n".join(lines)


def _text(label: str) -> str:
    label = shown(label)
    return label.replace("&", "&amp;").replace('"', "'").replace("<", "&lt;").replace("\n", "<br>")
