"""The trees that strategies searched for one problem, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from weft.evals.records import Row
from weft.evals.records.kept_text import KeptText

_MOST = 150
"""Texts of a tree that are drawn; those are left out that are furthest from the answer."""
_COLUMN, _LINE, _LETTERS = 170, 20, 22
"""Width of a step and height of a leaf, in pixels; letters of a text that are shown."""


@dataclass(slots=True)
class SearchedTrees:
    """The trees of one problem, the first for which a strategy searched one.

    Attributes:
        problem: its id.
        rows: of each strategy that searched a tree, the row.
    """

    problem: str | None = None
    rows: dict[str, Row] = field(default_factory=dict[str, Row])

    def add(self, row: Row) -> None:
        """Take a row, with its texts, if it is wanted."""
        if self.problem not in (None, row.id) or row.strategy in self.rows or not is_tree(row):
            return
        self.problem = row.id
        self.rows[row.strategy] = row


def is_tree(row: Row) -> bool:
    """Whether texts were continued in more than one way."""
    parents = [text.after for text in row.texts if text.after is not None]
    return (
        len(parents) > 1
        and len(row.texts) > len(parents) - len(set(parents)) + 1
        and (len(set(parents)) < len(parents) or sum(t.after is None for t in row.texts) > 1)
    )


def svg(row: Row) -> str:
    """The tree of a row: steps from left to right, the answer's path marked, with scores."""
    texts = row.texts
    path = _path(texts, row.chosen)
    shown = _shown(texts, path)
    children: dict[int | None, list[int]] = {}
    for i in shown:
        after = texts[i].after
        children.setdefault(after if after in shown else None, []).append(i)
    places, height = _places(children)
    width = max((x for x, _ in places.values()), default=0) + _COLUMN + 20
    lines, nodes = list[str](), list[str]()
    for i, (x, y) in places.items():
        after = texts[i].after
        x0, y0 = places[after] if after in places else (10, height / 2)
        kept = i in path
        style = (
            "stroke:var(--yes);stroke-width:2.5"
            if kept
            else "stroke:var(--faint);stroke-opacity:.5"
        )
        lines.append(
            f'<path d="M{x0:.0f} {y0:.0f}C{x0 + 40:.0f} {y0:.0f} {x - 40:.0f} {y:.0f} '
            f'{x:.0f} {y:.0f}" style="fill:none;{style}"/>'
        )
        nodes.append(_node(texts[i], x, y, kept))
    left_out = len(texts) - len(shown)
    note = f"; {left_out} more texts are left out" if left_out else ""
    label = escape(f"{row.strategy} on problem {row.id}: {len(texts)} texts{note}", quote=True)
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{label}" '
        f'style="width:{width}px;max-width:none;margin:0;font-size:11px">'
        f'{"".join(lines)}<circle cx="10" cy="{height / 2:.0f}" r="4" style="fill:var(--ink)"/>'
        f"{''.join(nodes)}</svg>"
    )


def _path(texts: Sequence[KeptText], chosen: int | None) -> set[int]:
    found: set[int] = set()
    while chosen is not None and chosen not in found and chosen < len(texts):
        found.add(chosen)
        chosen = texts[chosen].after
    return found


def _shown(texts: Sequence[KeptText], path: set[int]) -> set[int]:
    """The answer's path, then texts as they came, each with those that it continues."""
    shown = set(path)
    for i in range(len(texts)):
        if len(shown) >= _MOST:
            break
        shown |= _path(texts, i)
    return shown


def _places(
    children: Mapping[int | None, Sequence[int]],
) -> tuple[dict[int, tuple[float, float]], float]:
    """Where each text stands: a column a step, a line a leaf; and the height of all."""
    places: dict[int, tuple[float, float]] = {}
    leaves = 0
    stack: list[tuple[int | None, int, bool]] = [(None, 0, False)]
    while stack:
        node, depth, below = stack.pop()
        mine = children.get(node, ())
        if mine and not below:
            stack.append((node, depth, True))
            stack += [(child, depth + 1, False) for child in reversed(mine)]
            continue
        if node is None:
            continue
        if mine:
            heights = [places[child][1] for child in mine]
            y = (min(heights) + max(heights)) / 2
        else:
            y = _LINE * (leaves + 0.5)
            leaves += 1
        places[node] = (10 + _COLUMN * (depth - 1) + 40, y)
    return places, _LINE * max(leaves, 1)


def _node(text: KeptText, x: float, y: float, kept: bool) -> str:
    flat = " ".join(text.text.split())
    short = flat if len(flat) <= _LETTERS else flat[: _LETTERS - 1] + "…"
    score = "" if text.score is None else f" {text.score:.2f}"
    ink = "var(--ink)" if text.whole else "var(--faint)"
    fill = "var(--page)" if not text.whole else "var(--yes)" if kept else "var(--faint)"
    told = flat + (f"\nscore {text.score:.3g}" if score else "")
    told += "" if text.whole else "\nbroken off"
    weight = "font-weight:700;" if kept else ""
    return (
        f'<g><title>{escape(told)}</title><circle cx="{x:.0f}" cy="{y:.0f}" r="4" '
        f'style="fill:{fill};stroke:{ink}"/><text x="{x + 7:.0f}" y="{y + 4:.0f}" '
        f'style="{weight}fill:{ink};paint-order:stroke;stroke:var(--page);stroke-width:3px">'
        f"{escape(short)}{score}</text></g>"
    )
