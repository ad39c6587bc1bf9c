"""How weft's plots look, and how they are written."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from weft.extras import need

INK, FAINT = "#0a0b0c", "#8a8b8c"
"""Text and lines. Pages that follow a light or dark mode put their own colours for them."""
COLOURS = ("#2f81c6", "#d9772b", "#3a9a5b", "#c2453f", "#8b67c4", "#a2744f", "#cf68ad", "#7d8590")
MARKERS = "osD^vPX*"
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "weft",
    "font.size": 10.5,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
}


@contextmanager
def drawing(width: float, height: float) -> Generator[Any]:
    """An empty figure of so many inches, in weft's style for the time of the block."""
    need("report", "a plot")
    # Imported here, because it takes half a second; through Any, because it is hardly typed.
    matplotlib: Any = import_module("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure: Any = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def save(figure: Any, out: Any, form: str, *, transparent: bool = False) -> None:
    """Write a figure; the same figure gives the same bytes.

    Args:
        figure: within `drawing`.
        out: a path or a file.
        form: `svg` or `png`.
        transparent: whether an SVG has no background.
    """
    if form == "svg":
        figure.savefig(out, format="svg", transparent=transparent, metadata={"Date": None})
    else:
        figure.savefig(out, format=form, dpi=150)


def round_numbers(low: float, high: float) -> list[float]:
    """Ticks for a logarithmic axis: 1, 2, 5, 10 and so on around the values."""
    ticks = [m * 10.0**e for e in range(-6, 9) for m in (1, 2, 5)]
    inside = [t for t in ticks if low / 1.6 <= t <= high * 1.6]
    return inside if len(inside) <= 7 else [t for t in inside if f"{t:e}"[0] != "2"]
