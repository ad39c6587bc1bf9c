"""Results: what the rows of an evaluation come to, strategy by strategy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from weft.evals.records import RESULTS, Folder, Row, Session, Settings, write
from weft.evals.records.columns import RowColumns
from weft.evals.results.checks import CheckSummary, read_checks
from weft.evals.statistics import Share, quantile, share
from weft.types import Usage


@dataclass(frozen=True)
class Result:
    """One strategy's outcome.

    Attributes:
        strategy: its spec.
        rows: its samples with a result, in the order of their ids and repeats: those without
            error, and those that were refused.
        errors: how many samples had one; they count in nothing else.
        seconds: wall time of the strategy.
        samples: how many it was to answer; 0 if that is not known.
    """

    strategy: str
    rows: Sequence[Row]
    errors: int = 0
    seconds: float = 0.0
    samples: int = 0

    @property
    def n(self) -> int:
        """Samples with a result."""
        return len(self.rows)

    @cached_property
    def problems(self) -> int:
        """How many different samples have a result."""
        return len({id for id, _ in self.keys})

    @property
    def keys(self) -> Iterable[tuple[str, int]]:
        """The key of each row."""
        return self.rows.keys() if isinstance(self.rows, RowColumns) else (r.key for r in self.rows)

    @property
    def count(self) -> str:
        """Samples with a result, and of how many if some have none: `19 of 20`."""
        total = max(self.samples, self.n + self.errors)
        return str(self.n) if self.n == total else f"{self.n} of {total}"

    @property
    def refused(self) -> int:
        """Samples with an error that count as wrong, such as those that engines refused."""
        return self._figures.refused

    @property
    def correct(self) -> int:
        """How many were right."""
        return self._figures.correct

    @property
    def accuracy(self) -> float:
        """Share of right answers; a sample without an answer is wrong."""
        return self.correct / self.n if self.n else 0.0

    @property
    def credit(self) -> float:
        """The mean of what answers are worth; the accuracy where there is no partial credit."""
        return self._figures.partial.value

    @property
    def share(self) -> Share:
        """The accuracy with its standard error and interval, for which clusters count."""
        return self._figures.share

    @property
    def usage(self) -> Usage:
        """All its calls and tokens."""
        return self._figures.usage

    @property
    def computed(self) -> float:
        """Tokens a problem that engines had to compute: prompt not cached, and generated."""
        return self.usage.computed / self.n if self.n else 0.0

    @property
    def unanswered(self) -> int:
        """Samples without a readable answer."""
        return self._figures.unanswered

    @property
    def abstained(self) -> int:
        """Samples that the strategy did not answer on purpose; they are not right."""
        return self._figures.abstained

    @property
    def partial(self) -> Share:
        """The mean credit with its standard error and interval."""
        return self._figures.partial

    @property
    def partly(self) -> bool:
        """Whether any answer has partial credit."""
        return self._figures.partly

    @property
    def seconds_between(self) -> tuple[float, float]:
        """Seconds of a sample: their median, and below which 95 % are."""
        return self._figures.seconds

    @property
    def tokens_between(self) -> tuple[float, float]:
        """The same of computed tokens."""
        return self._figures.tokens

    @cached_property
    def _figures(self) -> _Figures:
        return _Figures.of(self.rows)

    def total(self, detail: str) -> float | None:
        """The sum of a number in the strategy's details; None if it does not report it."""
        values = [r.details[detail] for r in self.rows if detail in r.details]
        return sum(v for v in values if isinstance(v, int | float)) if values else None

    def json(self) -> dict[str, Any]:
        """As in `run.json`. Tokens are totals over all samples."""
        usage, sure = self.usage, self.share
        median, most = self.seconds_between
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
            "seconds_per_sample_p50": round(median, 4),
            "seconds_per_sample_p95": round(most, 4),
        }


@dataclass(frozen=True, slots=True)
class _Figures:
    """What all rows come to, for which they are gone through once."""

    correct: int
    refused: int
    unanswered: int
    abstained: int
    usage: Usage
    share: Share
    partial: Share
    partly: bool
    seconds: tuple[float, float]
    tokens: tuple[float, float]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> _Figures:
        right, worth, groups = list[float](), list[float](), list[str]()
        seconds, tokens = list[float](), list[float]()
        refused = unanswered = abstained = 0
        usage, known = Usage(), dict[str, str]()
        for row in rows:
            correct = float(bool(row.correct))
            right.append(correct)
            worth.append(correct if row.credit is None else row.credit)
            groups.append(known.setdefault(row.group, row.group))
            refused += row.refused
            unanswered += row.answer is None
            abstained += row.abstained and not row.correct
            usage += row.usage
            seconds.append(row.seconds)
            tokens.append(row.usage.computed)
        sure, partly = share(right, groups), any(w not in (0.0, 1.0) for w in worth)
        return cls(
            round(sum(right)),
            refused,
            unanswered,
            abstained,
            usage,
            sure,
            share(worth, groups) if worth != right else sure,
            partly,
            (quantile(seconds, 0.5), quantile(seconds, 0.95)),
            (quantile(tokens, 0.5), quantile(tokens, 0.95)),
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that a folder holds."""

    settings: Settings
    session: Session
    results: tuple[Result, ...]
    checks: tuple[CheckSummary, ...] = ()

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


def gather(settings: Settings, session: Session, rows: Iterable[Row]) -> Evaluation:
    """Sort rows into results, strategies in the order in which they first appear.

    Of rows of one strategy, sample and repeat the last counts.
    """
    gathering = Gathering()
    for row in rows:
        gathering.add(row)
    return Evaluation(settings, session, gathering.results(session))


class Gathering:
    """Rows on their way to results, of which no texts are held."""

    def __init__(self) -> None:
        self._by: dict[str, RowColumns] = {}

    def add(self, row: Row) -> None:
        """Add a row; of those of one strategy, sample and repeat the last counts."""
        if (there := self._by.get(row.strategy)) is None:
            there = self._by[row.strategy] = RowColumns(row.strategy)
        there.add(row)

    def results(self, session: Session) -> tuple[Result, ...]:
        """What the rows come to, which are not held any more then."""
        results: list[Result] = []
        for strategy in list(self._by):
            settled, errors = self._by.pop(strategy).settled()
            seconds, samples = session.seconds.get(strategy, 0.0), session.samples.get(strategy, 0)
            results.append(Result(strategy, settled, errors, seconds, samples))
        return tuple(results)

    def evaluation(self, folder: Folder) -> Evaluation:
        """What they come to, if they are all rows of a folder."""
        settings, session = folder.settings()
        return Evaluation(settings, session, self.results(session), read_checks(folder))


def read(folder: Folder) -> Evaluation:
    """The evaluation in a folder.

    Raises:
        StoreError: it can't be read.
    """
    rows = Gathering()
    for row in folder.every_row():
        rows.add(row)
    return rows.evaluation(folder)


class Told:
    """`run.json`, of which only what a strategy has changed is read anew.

    Args:
        evaluation: what the folder holds when the first strategy begins.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._parts = {r.strategy: r.json() for r in evaluation.results}

    def renew(self, folder: Folder, strategy: str) -> None:
        """Write the file after a strategy."""
        settings, session = folder.settings()
        own = gather(settings, session, folder.every_row(strategy))
        self._parts |= {r.strategy: r.json() for r in own.results}
        found = Evaluation(settings, session, ()).json() | {"results": [*self._parts.values()]}
        write(folder.path / RESULTS, json.dumps(found, indent=2) + "\n")


def aligned(first: Result, second: Result) -> Iterator[tuple[Row, Row]]:
    """The rows of both results for the samples that both have, in the order of ids."""
    there = {key: at for at, key in enumerate(second.keys)}
    for row in first.rows:
        if (at := there.get(row.key)) is not None:
            yield row, second.rows[at]
