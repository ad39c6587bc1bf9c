"""Comparing two evaluations, strategy by strategy, on the samples that both have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from weft.errors import UsageError
from weft.evals.records import Folder
from weft.evals.reports.comparisons import Comparison, Comparisons, rounded
from weft.evals.results import Result, aligned, read
from weft.evals.statistics import mean


@dataclass(frozen=True, slots=True)
class Compared:
    """Two results of the same problems; differences are second less first.

    Attributes:
        name: of the strategy, or of both.
        first: the first's accuracy on the problems that both have.
        second: the second's.
        accuracy: what they differ by.
        tokens: what they differ by in tokens a problem.
    """

    name: str
    first: float
    second: float
    accuracy: Comparison
    tokens: Comparison

    @property
    def verdict(self) -> str:
        """In words."""
        better = {"yes": "second is better", "no": "first is better"}
        return better.get(self.accuracy.verdict, "can't tell")

    def cells(self) -> list[str]:
        """For a table."""
        return [
            self.name,
            str(self.accuracy.difference.n),
            f"{100 * self.first:.1f}",
            f"{100 * self.second:.1f}",
            self.accuracy.points,
            f"{self.accuracy.p:.3f}",
            rounded(self.accuracy.problems),
            self.tokens.tokens,
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
    accuracies, tokens = Comparisons(), Comparisons()
    rows = [_compare(accuracies, tokens, *m) for m in matched if next(aligned(m[1], m[2]), None)]
    if not rows:
        raise UsageError(
            f"{first} and {second} have no problem in common; run both with the same --seed"
        )
    return rows


def _compare(
    accuracies: Comparisons, tokens: Comparisons, name: str, first: Result, second: Result
) -> Compared:
    right = [(float(bool(x.correct)), float(bool(y.correct))) for x, y in aligned(first, second)]
    return Compared(
        name,
        mean([x for x, _ in right]),
        mean([y for _, y in right]),
        accuracies.accuracy(second, first),
        tokens.tokens(second, first),
    )


def _names(results: tuple[Result, ...]) -> str:
    return ", ".join(r.strategy for r in results) or "none"
