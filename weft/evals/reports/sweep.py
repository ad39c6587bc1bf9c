"""What a sweep says: its cells, one a row, and what each setting changes at equal tokens."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weft.evals.reports.comparisons import ALIKE, Comparisons
from weft.evals.reports.section import ReportSection
from weft.evals.results import Result, aligned
from weft.evals.statistics import Difference, mean, paired

Cells = Mapping[str, Mapping[str, Any]]
"""Of each strategy of a sweep, its value on each axis."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one value of a setting changes, all others being the same.

    Attributes:
        axis: the setting.
        value: of it.
        against: the value that it is compared with, the setting's first.
        pairs: pairs of cells that differ in this setting alone.
        alike: how many of these spent the same tokens; the others are not compared.
        times: how many times the tokens the value took, in the mean of all pairs.
        difference: in right answers a problem, over the pairs that spent the same.
        family: all that the report compares.
        key: under which the family knows the question.
    """

    axis: str
    value: str
    against: str
    pairs: int
    alike: int
    times: float
    difference: Difference
    family: Comparisons
    key: Hashable

    def cells(self) -> list[str]:
        """For a table."""
        row = [self.axis, self.value, self.against, f"{self.alike} of {self.pairs}"]
        if not self.alike:
            return [*row, f"not at equal tokens: {self.times:.3g} times as many", ""]
        low, high = self.difference.interval(1 - self.family.level)
        p = self.family.corrected(self.key)
        points = f"{100 * self.difference.mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        return [*row, points, "< 0.001" if p < 0.001 else f"{p:.3f}"]


def spent(result: Result) -> float:
    """Tokens a problem: prompts, cached or not, answers and verdicts; as budgets count them."""
    return mean([float(r.usage.total) for r in result.rows])


def alike(first: Result, second: Result) -> bool:
    """Whether two results took the same tokens, to a tenth."""
    a, b = spent(first), spent(second)
    return abs(a - b) <= ALIKE * max(a, b)


def effects(asked: Comparisons, results: Sequence[Result], cells: Cells) -> list[Effect]:
    """What each value of each setting changes, against the setting's first value.

    Cells are compared in pairs that differ in the setting alone, and that spent the same tokens.
    All pairs of a value are taken together, so that a problem counts once, however many pairs
    there are.
    """
    by = {_place(cells[r.strategy]): r for r in results if r.n and r.strategy in cells}
    found: list[Effect] = []
    for axis in dict.fromkeys(axis for cell in cells.values() for axis in cell):
        values = dict.fromkeys(_text(cell[axis]) for cell in cells.values() if axis in cell)
        first, *others = values
        for value in others:
            pairs = [
                (result, other)
                for place, result in by.items()
                if dict(place).get(axis) == value
                and (other := by.get(_moved(place, axis, first))) is not None
            ]
            if pairs:
                found.append(_effect(asked, axis, value, first, pairs))
    return found


def _effect(
    asked: Comparisons,
    axis: str,
    value: str,
    against: str,
    pairs: Sequence[tuple[Result, Result]],
) -> Effect:
    equal = [pair for pair in pairs if alike(*pair)]
    rows = [both for pair in equal for both in aligned(*pair)]
    difference = paired(
        [float(bool(a.correct)) for a, _ in rows],
        [float(bool(b.correct)) for _, b in rows],
        [a.group for a, _ in rows],
    )
    key = ("effect", axis, value)
    if equal:
        asked.ask(key, difference)
    base = sum(spent(b) for _, b in pairs)
    times = sum(spent(a) for a, _ in pairs) / base if base else 1.0
    sizes = len(pairs), len(equal)
    return Effect(axis, value, against, *sizes, times, difference, asked, key)


def sweep_sections(
    results: Sequence[Result], cells: Cells, found: Sequence[Effect]
) -> list[ReportSection]:
    """The tables of a sweep; none without one."""
    axes = list(dict.fromkeys(axis for cell in cells.values() for axis in cell))
    rows = [
        [
            *(_text(cells[r.strategy].get(axis, "")) for axis in axes),
            r.count,
            str(r.share),
            f"{spent(r):.0f}",
        ]
        for r in results
        if r.n and r.strategy in cells
    ]
    table = ReportSection(
        "Cells of the sweep",
        (*axes, "n", "accuracy, %", "tokens"),
        rows,
        "tokens a problem: prompts, cached or not, answers and verdicts",
    )
    changes = ReportSection(
        "What settings change",
        ("setting", "value", "against", "pairs of cells", "difference, points", "p"),
        [one.cells() for one in found],
        "pairs of cells differ in the setting alone, and are compared if they took the same "
        "tokens, to a tenth; p (Holm) and intervals (95 %) are for all comparisons made here",
    )
    return [table, changes]


def cell_lines(results: Sequence[Result], cells: Cells) -> str:
    """The cells as JSON lines, for other tools."""
    return "".join(
        json.dumps({"cell": cells[r.strategy], "spent": spent(r), **r.json()}) + "\n"
        for r in results
        if r.strategy in cells
    )


def _place(cell: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((axis, _text(value)) for axis, value in cell.items())


def _moved(place: frozenset[tuple[str, str]], axis: str, to: str) -> frozenset[tuple[str, str]]:
    """The place with another value on one axis."""
    return frozenset((name, to if name == axis else value) for name, value in place)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
