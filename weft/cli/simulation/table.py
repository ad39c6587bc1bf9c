"""The table of a simulation on the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.cli.common import stdout

if TYPE_CHECKING:
    from weft.simulation.experiments.experiment import Experiment, PolicyOutcome

Number = float | int | None


@dataclass(frozen=True, slots=True)
class _Column:
    """A figure: its name, how it is had, and how soon it is left out where room is short."""

    name: str
    value: Callable[[PolicyOutcome], str]
    rank: int


def _short(value: Number) -> str:
    """A number with three digits; as many as it has before the point if that is more."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


_COLUMNS = (
    _Column("mean s", lambda o: _short(o.metrics.mean), 0),
    _Column("p50 s", lambda o: _short(o.metrics.p50), 6),
    _Column("p95 s", lambda o: _short(o.metrics.p95), 7),
    _Column("p99 s", lambda o: _short(o.metrics.p99), 1),
    _Column("goodput/s", lambda o: _short(o.metrics.goodput), 4),
    _Column("programs/s", lambda o: _short(o.metrics.programs_per_second), 5),
    _Column("tokens/s", lambda o: _short(o.metrics.tokens_per_second), 8),
    _Column("TTFT s", lambda o: _short(o.metrics.ttft), 9),
    _Column("TTFT p99", lambda o: _short(o.metrics.ttft_p99), 10),
    _Column("hits %", lambda o: f"{100 * o.metrics.hit_rate:.1f}", 2),
    _Column("optimum", lambda o: f"{o.to_optimum:.2f}x" if o.to_optimum else "-", 3),
    _Column("fairness", lambda o: f"{o.metrics.fairness:.3f}", 11),
    _Column("forced", lambda o: f"{o.counters.forced:,}", 13),
    _Column("longest wait s", lambda o: _short(o.counters.longest_wait), 12),
    _Column("decisions/s", lambda o: _short(o.counters.decisions / (o.wall or 1e-9)), 14),
)


def show(outcomes: Sequence[PolicyOutcome], experiment: Experiment) -> None:
    """Print a row for each policy and load: all figures, or those that the terminal has room for.

    Into files and pipes it prints all.
    """
    from rich.table import Table

    console = stdout()
    several = len(experiment.loads) > 1
    heads = [("policy", [o.policy for o in outcomes])]
    if several:
        heads.append(("arrivals", [o.load.spec for o in outcomes]))
    cells = {c.name: [c.value(o) for o in outcomes] for c in _COLUMNS}
    widths = {name: max(map(len, [name, *values])) + 2 for name, values in [*heads, *cells.items()]}
    left = console.width - sum(widths[name] for name, _ in heads)
    shown: set[str] = set()
    for column in sorted(_COLUMNS, key=lambda c: c.rank):
        if console.is_terminal and (left := left - widths[column.name]) < 0:
            break
        shown.add(column.name)
    if not console.is_terminal:
        console.width = max(console.width, sum(widths.values()))
    table = Table(
        title=_title(experiment, several),
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="bold",
        caption="times are of whole programs; optimum: Belady's hits over these"
        if "optimum" in shown
        else None,
        caption_justify="left",
    )
    for name, _ in heads:
        table.add_column(name, overflow="fold")
    for column in _COLUMNS:
        if column.name in shown:
            table.add_column(column.name, justify="right", no_wrap=True)
    for i in range(len(outcomes)):
        row = [values[i] for _, values in heads]
        table.add_row(*row, *(cells[c.name][i] for c in _COLUMNS if c.name in shown))
    console.print(table)


def _title(experiment: Experiment, several: bool) -> str:
    fleet = experiment.fleet
    arrivals = "" if several else f", {experiment.loads[0].spec}"
    return (
        f"{experiment.workload.name}{arrivals}, seed {experiment.seed}, on {fleet.engines} x "
        f"{fleet.hardware.name} with {fleet.kv_tokens:,} tokens of KV each"
    )
