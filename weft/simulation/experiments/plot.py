"""Plots of simulations: completion time over load, and the programs of one engine over time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from weft.plots import COLOURS, FAINT, MARKERS, drawing, round_numbers, save
from weft.simulation.experiments.experiment import PolicyOutcome
from weft.simulation.records import PlayedCall

Kind = Literal["waits", "prefill", "decode", "tool"]
_ROWS = 40
_KINDS: Mapping[Kind, str] = {
    "waits": "#d9772b",
    "prefill": "#c2453f",
    "decode": "#2f81c6",
    "tool": "#d8d9da",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """What a program does for a while.

    Attributes:
        kind: `waits` for an engine, `prefill` to the first token, `decode`, or away with a
            `tool`.
        begin: when.
        seconds: for how long.
        engine: where the call runs; for a tool, where the one before ran.
    """

    kind: Kind
    begin: float
    seconds: float
    engine: str


def segments(calls: Sequence[PlayedCall]) -> Iterator[Segment]:
    """What a program does, by its calls, in the order in which they came; empty ones left out."""
    until, last = math.inf, ""
    for call in calls:
        first = call.first if call.answer else call.ended
        times: tuple[tuple[Kind, float, float, str], ...] = (
            ("tool", until, call.came, last),
            ("waits", call.came, call.sent, call.engine),
            ("prefill", call.sent, first, call.engine),
            ("decode", first, call.ended, call.engine),
        )
        for kind, begin, end, engine in times:
            if end > begin:
                yield Segment(kind, begin, end - begin, engine)
        if not last or call.ended > until:
            until, last = call.ended, call.engine


def completion(outcomes: Sequence[PolicyOutcome], path: Path) -> None:
    """Draw mean and 99th percentile of completion time over load, a curve for each policy.

    Args:
        outcomes: of policies under loads that have a number (`Arrivals.load`).
        path: an `.svg` or a `.png`.
    """
    points = [(o.policy, *load, o.metrics) for o in outcomes if (load := o.load.load) is not None]
    policies = list(dict.fromkeys(policy for policy, *_ in points))
    with drawing(9.6, 4.2) as figure:
        both: Any = figure.subplots(1, 2)
        for axes, name in zip(both, ("mean", "p99"), strict=True):
            for i, policy in enumerate(policies):
                mine = sorted((x, getattr(m, name)) for p, _, x, m in points if p == policy)
                axes.plot(
                    [x for x, _ in mine],
                    [y for _, y in mine],
                    color=COLOURS[i % len(COLOURS)],
                    # As many policies as colours look alike only in one of the two.
                    marker=MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],
                    markersize=5,
                    linewidth=1.4,
                    label=policy if axes is both[0] else None,
                )
            _scale(axes.xaxis, axes.set_xscale, [x for _, _, x, _ in points])
            if not _scale(axes.yaxis, axes.set_yscale, [getattr(m, name) for *_, m in points]):
                axes.set_ylim(bottom=0)
            axes.set_xlabel(points[0][1] if points else "")
            axes.set_ylabel(f"{name} completion time, s")
            axes.grid()
            axes.set_axisbelow(True)
        if policies:
            figure.legend(loc="outside right center", frameon=False, fontsize=9.5)
        save(figure, path, path.suffix[1:])


def _scale(axis: Any, set_scale: Any, values: Sequence[float]) -> bool:
    """Make an axis logarithmic if the values are far apart; whether it is."""
    ticker: Any = import_module("matplotlib.ticker")
    wide = bool(values) and min(values) > 0 and max(values) > 6 * min(values)
    if wide:
        set_scale("log")
        axis.set_ticks(round_numbers(min(values), max(values)))
        axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
    return wide


def timeline(calls: Iterable[PlayedCall], engine: str, path: Path, most: int = _ROWS) -> None:
    """Draw what the programs of one engine do, one row a program, in the order they come.

    A row is as long as the program has calls; between them it is with a tool. Calls that run
    at once are drawn over one another, and those on other engines pale.

    Args:
        calls: of the whole play.
        engine: its name; programs with a call there are shown.
        path: an `.svg` or a `.png`.
        most: how many programs are shown, the first ones.
    """
    by_job: dict[str, list[PlayedCall]] = defaultdict(list)
    for call in calls:
        if call.engine:
            by_job[call.job].append(call)
    jobs = [
        sorted(mine, key=lambda c: (c.came, c.sent, c.id))
        for mine in by_job.values()
        if any(call.engine == engine for call in mine)
    ]
    jobs.sort(key=lambda mine: (mine[0].came, len(mine[0].job), mine[0].job))
    shown = jobs[:most]
    with drawing(9.6, 1.2 + 0.17 * max(len(shown), 6)) as figure:
        axes: Any = figure.add_subplot()
        for row, mine in enumerate(shown):
            spans: dict[tuple[Kind, bool], list[tuple[float, float]]] = defaultdict(list)
            for s in segments(mine):
                spans[s.kind, s.engine == engine].append((s.begin, s.seconds))
            for (kind, here), times in spans.items():
                axes.broken_barh(
                    times,
                    (row - 0.38, 0.76),
                    facecolors=_KINDS[kind],
                    alpha=1.0 if here else 0.3,
                    linewidth=0,
                )
        _frame(axes, [mine[0].job for mine in shown])
        more = f" (the first {most} of {len(jobs)})" if len(jobs) > most else ""
        axes.set_title(
            f"programs of {engine}{more}; pale: on other engines", loc="left", fontsize=10.5
        )
        figure.legend(
            handles=[_patch(name, colour) for name, colour in _KINDS.items()],
            loc="outside lower center",
            ncols=len(_KINDS),
            frameon=False,
        )
        save(figure, path, path.suffix[1:])


def _frame(axes: Any, names: Sequence[str]) -> None:
    ticker: Any = import_module("matplotlib.ticker")
    axes.set_yticks(range(len(names)), [n if len(n) <= 24 else f"{n[:23]}…" for n in names])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
    axes.set_xlabel("seconds")
    axes.margins(x=0.01)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)


def _patch(name: str, colour: str) -> Any:
    patches: Any = import_module("matplotlib.patches")
    return patches.Patch(facecolor=colour, edgecolor=FAINT, linewidth=0.3, label=name)
