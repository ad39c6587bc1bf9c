"""Results: what the rows of an evaluation come to, strategy by strategy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.evals.records import RESULTS, Folder, Row, Session, Settings, write
from weft.evals.statistics import Share, mean, quantile, share
from weft.types import Usage


@dataclass(frozen=True, slots=True)
class Result:
    """One strategy's outcome.

    Attributes:
        strategy: its spec.
        rows: its samples with a result: those without error, and those that were refused.
        errors: how many samples had one; they count in nothing else.
        seconds: wall time of the strategy.
        samples: how many it was to answer; 0 if that is not known.
    """

    strategy: str
    rows: tuple[Row, ...]
    errors: int = 0
    seconds: float = 0.0
    samples: int = 0

    @property
    def n(self) -> int:
        """Samples with a result."""
        return len(self.rows)

    @property
    def problems(self) -> int:
        """How many different samples have a result."""
        return len({r.id for r in self.rows})

    @property
    def count(self) -> str:
        """Samples with a result, and of how many if some have none: `19 of 20`."""
        total = max(self.samples, self.n + self.errors)
        return str(self.n) if self.n == total else f"{self.n} of {total}"

    @property
    def refused(self) -> int:
        """Samples with an error that count as wrong, such as those that engines refused."""
        return sum(r.refused for r in self.rows)

    @property
    def correct(self) -> int:
        """How many were right."""
        return sum(bool(r.correct) for r in self.rows)

    @property
    def accuracy(self) -> float:
        """Share of right answers; a sample without an answer is wrong."""
        return self.correct / self.n if self.n else 0.0

    @property
    def credit(self) -> float:
        """The mean of what answers are worth; the accuracy where there is no partial credit."""
        return mean([_worth(r) for r in self.rows])

    @property
    def share(self) -> Share:
        """The accuracy with its standard error and interval, for which clusters count."""
        return share([float(bool(r.correct)) for r in self.rows], [r.group for r in self.rows])

    @property
    def usage(self) -> Usage:
        """All its calls and tokens."""
        return sum((r.usage for r in self.rows), Usage())

    @property
    def computed(self) -> float:
        """Tokens a problem that engines had to compute: prompt not cached, and generated."""
        return mean([r.usage.computed for r in self.rows])

    @property
    def unanswered(self) -> int:
        """Samples without a readable answer."""
        return sum(r.answer is None for r in self.rows)

    @property
    def abstained(self) -> int:
        """Samples that the strategy did not answer on purpose; they are not right."""
        return sum(r.abstained and not r.correct for r in self.rows)

    @property
    def partial(self) -> Share:
        """The mean credit with its standard error and interval."""
        return share([_worth(r) for r in self.rows], [r.group for r in self.rows])

    def total(self, detail: str) -> float | None:
        """The sum of a number in the strategy's details; None if it does not report it."""
        values = [r.details[detail] for r in self.rows if detail in r.details]
        return sum(v for v in values if isinstance(v, int | float)) if values else None

    def json(self) -> dict[str, Any]:
        """As in `run.json`. Tokens are totals over all samples."""
        usage, sure = self.usage, self.share
        seconds = [r.seconds for r in self.rows]
        return {
            "strategy": self.strategy,
            "n": self.n,
            "samples": max(self.samples, self.n + self.errors),
            "errors": self.errors,
            "refused": self.refused,
            "abstained": self.abstained,
            "accuracy": self.accuracy,
            "credit": self.credit,
            "stderr": sure.stderr,
            "interval": [sure.low, sure.high],
            "calls": usage.calls,
            "tokens": {
                "prompt": usage.prompt,
                "cached": usage.cached,
                "completion": usage.completion,
                "cancelled": usage.cancelled,
                "reasoning": usage.reasoning,
            },
            "seconds": round(self.seconds, 3),
            "seconds_per_sample_p50": round(quantile(seconds, 0.5), 4),
            "seconds_per_sample_p95": round(quantile(seconds, 0.95), 4),
        }


def _worth(row: Row) -> float:
    return float(bool(row.correct)) if row.credit is None else row.credit


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that a folder holds."""

    settings: Settings
    session: Session
    results: tuple[Result, ...]

    def json(self) -> dict[str, Any]:
        """The content of `run.json`."""
        return {
            "task": self.settings.task,
            "model": self.settings.model,
            "engines": self.session.engines,
            "seed": self.settings.seed,
            "weft": self.session.version,
            "results": [r.json() for r in self.results],
        }

    @property
    def errors(self) -> int:
        """Samples that ended in an error."""
        return sum(r.errors for r in self.results)


def gather(settings: Settings, session: Session, rows: Sequence[Row]) -> Evaluation:
    """Sort rows into results, strategies in the order in which they first appear."""
    by: dict[str, list[Row]] = {}
    for row in rows:
        by.setdefault(row.strategy, []).append(row)
    results = [
        Result(
            strategy,
            tuple(sorted((r for r in rows if r.correct is not None), key=lambda r: r.key)),
            sum(r.correct is None for r in rows),
            session.seconds.get(strategy, 0.0),
            session.samples.get(strategy, 0),
        )
        for strategy, rows in by.items()
    ]
    return Evaluation(settings, session, tuple(results))


def read(folder: Folder) -> Evaluation:
    """The evaluation in a folder.

    Raises:
        StoreError: it can't be read.
    """
    return gather(*folder.settings(), folder.rows())


def save(folder: Folder, evaluation: Evaluation) -> None:
    """Write `run.json`."""
    write(folder.path / RESULTS, json.dumps(evaluation.json(), indent=2) + "\n")


def aligned(first: Result, second: Result) -> list[tuple[Row, Row]]:
    """The rows of both results for the samples that both have, in the order of ids."""
    other = {r.key: r for r in second.rows}
    return [(r, other[r.key]) for r in first.rows if r.key in other]
