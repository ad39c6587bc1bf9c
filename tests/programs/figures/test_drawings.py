"""Mermaid and SVG of any graph."""

from xml.etree import ElementTree

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.programs.figures.mermaid import mermaid
from weft.programs.figures.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
Edges = list[tuple[int, int]]


def graph_of(edges: Edges, kind: str = "next") -> nx.DiGraph:
    graph = nx.DiGraph()
    for edge in edges:
        for node in edge:
            graph.add_node(str(node), kind="node", label=f"stage {node}\nmore of it")
        graph.add_edge(*map(str, edge), kind=kind, label="50%")
    return graph


def boxes(text: str) -> list[tuple[float, float, float, float]]:
    found = ElementTree.fromstring(text).iter(f"{SVG}rect")
    sides = [[float(r.attrib[k]) for k in ("x", "y", "width", "height")] for r in found]
    return [(x, y, width, height) for x, y, width, height in sides]


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=20))
def test_every_graph_is_drawn_within_its_frame(edges: Edges) -> None:
    graph = graph_of(edges)
    text = svg(graph)
    root = ElementTree.fromstring(text)
    placed = boxes(text)
    assert len(placed) == len(graph)
    assert len(list(root.iter(f"{SVG}path"))) == graph.number_of_edges() + 1  # an arrow's tip
    wide, high = float(root.attrib["width"]), float(root.attrib["height"])
    assert all(x >= 0 and y >= 0 and x + w <= wide and y + h <= high for x, y, w, h in placed)
    assert mermaid(graph).count("\n") == len(graph) + graph.number_of_edges()


@given(st.lists(st.integers(0, 11), min_size=1, max_size=12))
def test_no_box_of_a_tree_lies_on_another(parents: list[int]) -> None:
    tree = graph_of([(min(p, i), i + 1) for i, p in enumerate(parents)], "contains")
    placed = sorted(boxes(svg(tree)))
    for i, (x, y, w, h) in enumerate(placed):
        for x2, y2, _, _ in placed[i + 1 :]:
            assert x2 >= x + w or abs(y2 - y) >= h


@pytest.mark.parametrize("name", ['say "hi"', "<script>alert(1)</script>", "a & b", "é ✗"])
def test_names_stay_text(name: str) -> None:
    graph = nx.DiGraph()
    graph.add_node("a", kind="call", label=name, status="failed")
    root = ElementTree.fromstring(svg(graph))
    assert name in [text.text for text in root.iter(f"{SVG}text")]
    (line,) = mermaid(graph).splitlines()[1:]
    assert line.startswith('  n0("')
    assert line.endswith(' ⚡")')
    assert line.count('"') == 2
    assert "<" not in line


def test_names_of_any_letters_and_length_can_be_written() -> None:
    graph = nx.DiGraph()
    graph.add_node("a", kind="node", label="\ud800\x00\x1b\n" + "x" * 500)
    drawn = svg(graph)
    ElementTree.fromstring(drawn)
    for text in (drawn, mermaid(graph)):
        assert "���" in text
        assert f"{'x' * 79}…" in text
        assert text.encode()


def test_what_follows_stands_further_right() -> None:
    graph = graph_of([(0, 1), (1, 2), (2, 1), (2, 3), (0, 3)])
    left = [box[0] for box in boxes(svg(graph))]
    assert left == sorted(left)
    assert len(set(left)) == 4


def test_nothing_is_a_picture_too() -> None:
    ElementTree.fromstring(svg(nx.DiGraph()))
    assert mermaid(nx.DiGraph()) == "flowchart TD"
