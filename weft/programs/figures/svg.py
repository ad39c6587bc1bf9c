"""SVG: a graph as a picture, from left to right."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from weft.programs.figures.labels import shown

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]

_LETTER, _LINE, _PAD = 6.7, 16, 8  # pixels: of a letter, of a line, within a box
_ACROSS, _DOWN = 70, 14  # pixels between boxes
_BEND = 46  # pixels by which a line leaves its column, to a box above or below
_STYLE = """
.weft-graph { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.weft-graph text { fill: #1b2430; } .weft-graph .more { fill: #566273; }
.weft-graph rect { fill: #fff; stroke: #6b7685; } .weft-graph .program rect { stroke-width: 2; }
.weft-graph .fan_out rect { fill: #eaf3fa; stroke: #0072b2; }
.weft-graph .call rect { fill: #fdf5e4; stroke: #c47f00; }
.weft-graph .failed rect { stroke: #b3261e; stroke-width: 2; }
.weft-graph path { fill: none; stroke: #8a94a3; } .weft-graph .prefix { stroke-width: 2.5; }
.weft-graph .data { stroke-dasharray: 4 3; } .weft-graph .contains { stroke: #c3cad4; }
@media (prefers-color-scheme: dark) {
.weft-graph text { fill: #e4e9ef; } .weft-graph .more { fill: #9ba7b5; }
.weft-graph rect { fill: #171d24; stroke: #9ba7b5; }
.weft-graph .fan_out rect { fill: #14283a; } .weft-graph .call rect { fill: #2e2611; }
.weft-graph .contains { stroke: #3a444f; }
}
"""


def svg(graph: Graph) -> str:
    """A picture of a graph as it stands in a file or a page.

    Args:
        graph: as `mermaid` takes it.
    """
    order, layer, tree = _spanned(graph)
    lines = {node: shown(str(graph.nodes[node]["label"])).split("\n") for node in graph}
    width = {n: _LETTER * max(map(len, lines[n])) + 2 * _PAD for n in graph}
    height = {n: _LINE * len(lines[n]) + 2 * _PAD - 4 for n in graph}
    left: list[float] = [_PAD]
    for i in range(max(layer.values(), default=0) + 1):
        left.append(left[i] + max((width[n] for n in graph if layer[n] == i), default=0) + _ACROSS)
    row = max(height.values(), default=0) + _DOWN
    middle: dict[str, float] = {}
    rows = 0
    for node in reversed(order):  # children before their parents; the last is at the bottom
        below = [middle[child] for child in tree[node]]
        if not below:
            middle[node] = rows * row
            rows += 1
        else:
            middle[node] = (min(below) + max(below)) / 2
    bottom = rows * row
    for node in middle:
        middle[node] = bottom - middle[node] - row / 2 + _PAD
    nexts = [(a, b) for a, b, data in graph.edges(data=True) if data["kind"] == "next"]
    back = sum(layer[a] >= layer[b] for a, b in nexts)
    last = max(layer.values(), default=0)
    bent = any(layer[a] == layer[b] == last for a, b in graph.edges if (a, b) not in nexts)
    size = (
        left[-1] - _ACROSS + (_BEND if bent else _PAD),
        bottom + 2 * _PAD + (24 + 10 * back if back else 0),
    )
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="weft-graph" width="{size[0]:.0f}" '
        f'height="{size[1]:.0f}" viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" role="img">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="weft-tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8" style="fill:#8a94a3"/></marker>'
        "</defs>",
    ]
    loops = 0
    for start, end, data in graph.edges(data=True):
        x, y = left[layer[start]] + width[start], middle[start]
        to, at = left[layer[end]], middle[end]
        if layer[start] < layer[end]:
            path = f"M{x:.0f} {y:.0f}C{x + 36:.0f} {y:.0f} {to - 36:.0f} {at:.0f} {to:.0f} {at:.0f}"
            spot = ((x + to) / 2, (y + at) / 2 - 4)
        elif data["kind"] != "next":  # a value, to what stands above or below, or further left
            x, to = x if layer[start] == layer[end] else left[layer[start]], to + width[end]
            bend = _BEND if layer[start] == layer[end] else -36
            path = (
                f"M{x:.0f} {y:.0f}C{x + bend:.0f} {y:.0f} {to + abs(bend):.0f} {at:.0f} "
                f"{to:.0f} {at:.0f}"
            )
            spot = ((x + to) / 2, (y + at) / 2 - 4)
        else:  # back, along the bottom
            low = bottom + 14 + 10 * loops
            loops += 1
            out, into = x - width[start] / 2, to + width[end] / 2
            ends = at + height[end] / 2
            path = (
                f"M{out:.0f} {y + height[start] / 2:.0f}C{out:.0f} {low:.0f} {into:.0f} {low:.0f} "
                f"{into + (8 if start == end else 0):.0f} {ends:.0f}"
            )
            spot = ((out + into) / 2, low)
        tip = "" if data["kind"] == "contains" else ' marker-end="url(#weft-tip)"'
        made.append(f'<path class="{data["kind"]}" d="{path}"{tip}/>')
        if data.get("label"):
            made.append(_words("more", *spot, [shown(str(data["label"]))], "middle"))
    for node in order:
        kind, status = graph.nodes[node]["kind"], graph.nodes[node].get("status", "")
        x, y = left[layer[node]], middle[node] - height[node] / 2
        corner = 12 if kind in ("program", "end") else 4
        made.append(
            f'<g class="{kind} {status}"><rect x="{x:.0f}" y="{y:.0f}" width="{width[node]:.0f}" '
            f'height="{height[node]:.0f}" rx="{corner}"/>'
        )
        made.append(_words("", x + _PAD, y + _PAD + 9, lines[node][:1]))
        made.append(_words("more", x + _PAD, y + _PAD + 9 + _LINE, lines[node][1:]) + "</g>")
    return "\n".join([*filter(None, made), "</svg>"])


def _words(kind: str, x: float, y: float, lines: list[str], anchor: str = "start") -> str:
    return "".join(
        f'<text class="{kind}" x="{x:.0f}" y="{y + _LINE * i:.0f}" text-anchor="{anchor}">'
        f"{escape(line)}</text>"
        for i, line in enumerate(lines)
    )


def _spanned(graph: Graph) -> tuple[list[str], dict[str, int], dict[str, list[str]]]:
    """The nodes of a graph from above, their layers, and the tree in which they were found.

    Edges that lead back to what leads there have no say in the layers. Nor have the edges of data
    and prefixes, where spans contain each other.
    """
    kinds = {data["kind"] for _, _, data in graph.edges(data=True)}
    counted = {"contains"} if "contains" in kinds else kinds
    follow = {
        node: [end for _, end, data in graph.out_edges(node, data=True) if data["kind"] in counted]
        for node in graph
    }
    order: list[str] = []
    done: list[str] = []
    tree: dict[str, list[str]] = {node: [] for node in graph}
    seen: set[str] = set()
    open_: set[str] = set()
    forward: list[tuple[str, str]] = []
    has_before = {end for ends in follow.values() for end in ends}

    def visit(node: str) -> None:
        seen.add(node)
        open_.add(node)
        order.append(node)
        stack.append((node, iter(follow[node])))

    for root in sorted(graph, key=lambda n: n in has_before):  # stable
        stack: list[tuple[str, Iterator[str]]] = []
        if root not in seen:
            visit(root)
        while stack:
            node, rest = stack[-1]
            end = next(rest, None)
            if end is None:
                open_.discard(node)
                done.append(node)
                stack.pop()
            elif end not in open_:
                forward.append((node, end))
                if end not in seen:
                    tree[node].append(end)
                    visit(end)
    layer = dict.fromkeys(graph, 0)
    after: dict[str, list[str]] = {}
    for start, end in forward:
        after.setdefault(start, []).append(end)
    for node in reversed(done):  # each before all that it leads to
        for end in after.get(node, ()):
            layer[end] = max(layer[end], layer[node] + 1)
    return order, layer, tree
