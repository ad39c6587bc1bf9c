"""The plot of a report: accuracy against tokens a problem, as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

from weft.evals.reports.labels import curve, labels
from weft.evals.results import Result
from weft.plots import COLOURS, FAINT, INK, MARKERS, drawing, round_numbers, save


def svg(results: Sequence[Result]) -> str:
    """The plot as an `<svg>` element to be put into a page."""
    out = io.StringIO()
    _draw(results, out)
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "var(--ink)").replace(FAINT, "var(--faint)")
    head, rest = text.split(">", 1)
    # Its size is the page's business.
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    return f'{head} role="img" aria-label="accuracy against tokens a problem">{rest}'


def frontier(results: Sequence[Result]) -> list[Result]:
    """The results than which none is at least as accurate with fewer tokens, fewest first."""
    best: list[Result] = []
    for r in sorted((r for r in results if r.n), key=lambda r: (r.computed, -r.accuracy)):
        if not best or r.accuracy > best[-1].accuracy:
            best.append(r)
    return best


def _draw(results: Sequence[Result], out: io.StringIO) -> None:
    shown = [r for r in results if r.n]
    with drawing(5.2, 4.4) as figure:
        ticker: Any = import_module("matplotlib.ticker")
        axes: Any = figure.add_subplot()
        curves = list(dict.fromkeys(curve(r.strategy) for r in shown))
        for i, name in enumerate(curves):
            mine = sorted((r for r in shown if curve(r.strategy) == name), key=lambda r: r.computed)
            axes.errorbar(
                [r.computed for r in mine],
                [100 * r.accuracy for r in mine],
                [
                    [100 * max(0.0, r.accuracy - r.share.low) for r in mine],
                    [100 * max(0.0, r.share.high - r.accuracy) for r in mine],
                ],
                color=COLOURS[i % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=7,
                linewidth=1.2,
                elinewidth=1.4,
                capsize=3,
            )
        best = frontier(shown)
        axes.step(
            [r.computed for r in best],
            [100 * r.accuracy for r in best],
            where="post",
            color=FAINT,
            linestyle=":",
            linewidth=1.2,
            zorder=1,
        )
        tokens = [r.computed for r in shown if r.computed > 0]
        if tokens and max(tokens) > 6 * min(tokens) and len(tokens) == len(shown):
            axes.set_xscale("log")
            axes.set_xticks(round_numbers(min(tokens), max(tokens)), minor=False)
            axes.minorticks_off()
        else:
            axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("tokens a problem (prompt not cached + generated)")
        axes.set_ylabel("accuracy, % (bars: intervals of 95 %)")
        axes.margins(x=0.12, y=0.1)
        axes.grid()
        axes.set_axisbelow(True)
        colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(curves)}
        _label(figure, axes, shown, colours)
        save(figure, out, "svg", transparent=True)


def _label(figure: Any, axes: Any, results: Sequence[Result], colours: dict[str, str]) -> None:
    """Write each strategy's name beside its point, where it covers nothing."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    names = labels([r.strategy for r in results])
    taken: list[Any] = []
    for r in results:
        x, y = axes.transData.transform((r.computed, 100 * r.accuracy))
        bar = [(r.computed, 100 * r.share.low), (r.computed, 100 * r.share.high)]
        (_, bottom), (_, top) = axes.transData.transform(bar)
        taken += [
            Bbox([[x - 6, y - 6], [x + 6, y + 6]]),
            Bbox([[x - 3, bottom], [x + 3, top]]),
        ]
    for line in axes.get_lines():
        # Short pieces of the lines that join strategies of one curve.
        points = axes.transData.transform(line.get_xydata())
        for (x0, y0), (x1, y1) in pairwise(points if line.get_linestyle() == "-" else []):
            for k in range(1, 20):
                x, y = x0 + (x1 - x0) * k / 20, y0 + (y1 - y0) * k / 20
                taken.append(Bbox([[x - 4, y - 4], [x + 4, y + 4]]))
    frame = axes.get_window_extent(renderer)
    for r in sorted(_named(results), key=lambda r: -r.accuracy):
        name = names[r.strategy]
        text = axes.annotate(
            name if len(name) <= _LONG else f"{name[: _LONG - 1]}…",
            (r.computed, 100 * r.accuracy),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=9.5,
            color=colours[curve(r.strategy)],
        )
        text.set_in_layout(False)  # a long name would take the room of the plot
        costs: list[float] = []
        for place in _PLACES:
            _move(text, *place)
            box = text.get_window_extent(renderer)
            covered = sum(_overlap(box, other) for other in taken)
            outside = box.width * box.height - _overlap(box, frame)
            costs.append(covered + 3 * outside)
        _move(text, *_PLACES[costs.index(min(costs))])
        taken.append(text.get_window_extent(renderer))


def _named(results: Sequence[Result]) -> list[Result]:
    """Those whose names are shown: of very many only those that no cheaper one reaches."""
    if len(results) <= _MANY:
        return list(results)
    return [
        r
        for r in results
        if not any(o.computed < r.computed and o.accuracy >= r.accuracy for o in results)
    ]


_LONG = 40
"""Characters of a name in the plot."""
_MANY = 20
"""Results that all have their names in the plot."""
_PLACES = [
    ((8, 4), "left", "bottom"),
    ((8, -4), "left", "top"),
    ((-8, 4), "right", "bottom"),
    ((-8, -4), "right", "top"),
    ((0, 16), "center", "bottom"),
    ((0, -16), "center", "top"),
    ((8, 18), "left", "bottom"),
    ((8, -18), "left", "top"),
    ((-8, 18), "right", "bottom"),
    ((-8, -18), "right", "top"),
    ((0, 32), "center", "bottom"),
    ((0, -32), "center", "top"),
]


def _move(text: Any, offset: tuple[int, int], across: str, up: str) -> None:
    text.xyann = offset
    text.set(ha=across, va=up)


def _overlap(a: Any, b: Any) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0
