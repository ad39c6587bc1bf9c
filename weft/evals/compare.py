"""Comparing two evaluations, strategy by strategy, on the samples that both have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weft.errors import UsageError
from weft.evals.findings import accuracy_difference, token_difference
from weft.evals.records import Folder
from weft.evals.results import Result, aligned, read
from weft.evals.statistics import Difference, mean


@dataclass(frozen=True, slots=True)
class Compared:
    """Two results of the same problems; differences are second less first."""

    name: str
    first: float
    second: float
    accuracy: Difference
    tokens: Difference

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.accuracy.clear:
            return "can't tell"
        return "second is better" if self.accuracy.mean > 0 else "first is better"

    def cells(self) -> list[str]:
        """For a table."""
        return [
            self.name,
            str(self.accuracy.n),
            f"{100 * self.first:.1f}",
            f"{100 * self.second:.1f}",
            f"{100 * self.accuracy.mean:+.1f} ± {100 * self.accuracy.stderr:.1f}",
            f"{self.accuracy.p:.3f}" if self.accuracy.p is not None else "",
            f"{self.tokens.mean:+.0f} ± {self.tokens.stderr:.0f}",
            self.verdict,
        ]


def compared(first: Path, second: Path) -> list[Compared]:
    """The comparison of two folders.

    Raises:
        StoreError: a folder holds no evaluation.
        UsageError: they have no task, strategy or problem in common.
    """
    a, b = read(Folder(first)), read(Folder(second))
    if a.settings.question != b.settings.question:
        raise UsageError(
            f"{first} has task {a.settings.task} and {second} has {b.settings.task}"
            + (" with other data" if a.settings.question[0] == b.settings.question[0] else "")
            + "; only runs of one task can be compared"
        )
    there = {r.strategy: r for r in b.results}
    matched = [(r.strategy, r, there[r.strategy]) for r in a.results if r.strategy in there]
    if not matched and len(a.results) == len(b.results) == 1:
        one, other = a.results[0], b.results[0]
        matched = [(f"{one.strategy} → {other.strategy}", one, other)]
    if not matched:
        raise UsageError(
            f"{first} and {second} have no strategy in common: "
            f"{_names(a.results)} against {_names(b.results)}"
        )
    rows = [_compare(*m) for m in matched if aligned(m[1], m[2])]
    if not rows:
        raise UsageError(
            f"{first} and {second} have no problem in common; run both with the same --seed"
        )
    return rows


def _compare(name: str, first: Result, second: Result) -> Compared:
    pairs = aligned(first, second)
    return Compared(
        name,
        mean([float(bool(x.correct)) for x, _ in pairs]),
        mean([float(bool(y.correct)) for _, y in pairs]),
        accuracy_difference(second, first),
        token_difference(second, first),
    )


def _names(results: tuple[Result, ...]) -> str:
    return ", ".join(r.strategy for r in results) or "none"
