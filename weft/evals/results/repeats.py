"""What several answers to each problem come to: those of repeats, or those that a strategy drew.

- avg@k: the mean of k answers' accuracy.
- maj@k: the accuracy of the answer that most of k agree on; of equals the earliest.
- worst of k: the share of problems that all k solve; best of k that at least one solves, which is
  pass@k (Chen et al. 2021; k runs as in Balachandran et al. 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.evals.coverage import DrawnCounts
from weft.evals.records import Row
from weft.evals.results import Result
from weft.evals.statistics import Share, share
from weft.search.answers.voting import tally

_MOST_LEFT_OUT = 0.1


def _voted(rows: Sequence[Row]) -> float:
    """Whether the answer is right that most rows have."""
    winner = tally({i: row.voted for i, row in enumerate(rows)}).winner
    return float(winner is not None and bool(rows[winner.members[0]].correct))


@dataclass(frozen=True, slots=True)
class Repeated:
    """One strategy's answers, where it was asked each problem several times.

    Attributes:
        strategy: its spec.
        problems: the rows of each problem: its first k repeats, k for all alike.
        left_out: problems that have fewer, because of errors or since the run has not ended.
    """

    strategy: str
    problems: tuple[tuple[Row, ...], ...]
    left_out: int

    @property
    def k(self) -> int:
        """How many answers each problem has."""
        return len(self.problems[0])

    @property
    def average(self) -> Share:
        """avg@k."""
        rows = [r for rows in self.problems for r in rows]
        return share([float(bool(r.correct)) for r in rows], [r.group for r in rows])

    @property
    def majority(self) -> Share:
        """maj@k; answers vote if they can be read, and the task says which are the same."""
        return self._share([_voted(rows) for rows in self.problems])

    @property
    def worst(self) -> Share:
        """The share of problems that all k answers solve."""
        return self._share([float(all(r.correct for r in rows)) for rows in self.problems])

    @property
    def best(self) -> Share:
        """The share of problems that an answer solves: pass@k."""
        return self._share([float(any(r.correct for r in rows)) for rows in self.problems])

    @property
    def draws(self) -> DrawnCounts:
        """Of each problem the right ones of its answers."""
        counts = [(len(rows), sum(bool(r.correct) for r in rows)) for rows in self.problems]
        return DrawnCounts(tuple(counts), tuple(rows[0].group for rows in self.problems))

    def _share(self, values: Sequence[float]) -> Share:
        return share(values, [rows[0].group for rows in self.problems])


def repeated(result: Result) -> Repeated | None:
    """The answers to each problem; None if there is one only.

    k is the most that nine in ten problems have.
    """
    if result.n == result.problems:
        return None
    by: dict[str, list[Row]] = {}
    for row in result.rows:
        by.setdefault(row.id, []).append(row)
    counts = sorted(map(len, by.values()))
    k = counts[int(_MOST_LEFT_OUT * len(counts))] if counts else 0
    if k < 2:
        return None
    problems = tuple(tuple(rows[:k]) for rows in by.values() if len(rows) >= k)
    return Repeated(result.strategy, problems, len(by) - len(problems))


def drawn(result: Result) -> DrawnCounts | None:
    """The answers of which coverage can be told, and how many are right; None without any.

    Those that the strategy drew for each problem, if it drew as many for nine in ten; else those
    of repeats.
    """
    counts = sorted(r.drawn for r in result.rows)
    n = counts[int(_MOST_LEFT_OUT * len(counts))] if counts else 0
    if n < 2:
        asked = repeated(result)
        return asked.draws if asked is not None else None
    rows = [r for r in result.rows if r.drawn >= n]
    return DrawnCounts(tuple((r.drawn, r.right) for r in rows), tuple(r.group for r in rows))
