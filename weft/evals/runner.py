"""Run strategies over the samples of a task, keeping each result as it comes.

Strategies run one after the other, and all problems of one at once, so that seconds mean
something for each strategy while the engines stay full. A row is on disk as soon as its
sample is done; what is there already is not run again.

Chance differs between strategies and between samples: each question's seed derives from the
run's seed, the strategy's spec and the sample's id. So no strategy gets its calls for free
from a Store that another has filled, and errors of samples are independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, cast

import anyio

from weft.concurrency import TaskGroup, first_error
from weft.errors import (
    BudgetExceeded,
    ContextExceeded,
    EngineError,
    PartFailed,
    RequestRejected,
    UsageError,
    WeftError,
)
from weft.evals import results
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.results import Evaluation, Result
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample, Task
from weft.faults import said
from weft.orchestrator.pool import Pool
from weft.programs import Limits, budget, run
from weft.programs.nodes import stands_for
from weft.search.strategy import Answer, Question, Strategy, stable_seed
from weft.types import MoreSampling

T = TypeVar("T")
_FEW = 3  # errors that never end a strategy where its bound is a share


def most_errors(bound: str, samples: int) -> float:
    """How many errors a strategy may have: `5`, `10%` (but three at least), or `all`.

    Raises:
        UsageError: the bound has none of these forms.
    """
    if bound == "all":
        return math.inf
    number = bound.removesuffix("%")
    if not number.isascii() or not number.isdigit() or (bound != number and int(number) > 100):
        raise UsageError(f"max_errors={bound} must be a number, a share such as 10%, or all")
    return int(number) if bound == number else max(_FEW, int(number) / 100 * samples)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        task: whose samples.
        strategies: in the order in which to run them.
        samples: the problems.
        settings: what all rows have in common.
        limits: for one strategy on one sample.
        concurrency: most samples under way at once.
        max_errors: errors that end a strategy if it has more; see `most_errors`.
    """

    task: Task
    strategies: Sequence[Strategy]
    samples: Sequence[Sample]
    settings: Settings
    limits: Limits | None = None
    concurrency: int = 128
    max_errors: str = "10%"


class EvaluationWatcher(Protocol):
    """Told how an evaluation goes."""

    def begin(self, strategy: str, total: int, kept: Sequence[Row]) -> None:
        """A strategy begins; `kept` rows were there already."""

    def row(self, row: Row) -> None:
        """A sample is done, or failed."""

    def end(self, result: Result) -> None:
        """A strategy is done, or was broken off."""

    def tick(self, alive: int, engines: int) -> None:
        """Another second has gone by; so many of the engines are alive."""


async def evaluate(
    plan: Plan, pool: Pool, folder: Folder, session: Session, watcher: EvaluationWatcher
) -> Evaluation:
    """Run what is not in the folder yet; returns all that is in it then.

    Rows with an error are run again. A sample that engines refuse, because it is longer than
    their context, say, counts as wrong until then. A strategy that fails does not keep
    the next one from being run. Whatever way this ends, finished samples and `run.json` are
    kept.

    Raises:
        EngineError: a strategy had more errors than `max_errors` allows, or every sample failed.
        UsageError: a strategy can't work with these engines.
    """
    most_errors(plan.max_errors, len(plan.samples))
    again = {s.spec for s in plan.strategies}
    cluster = {s.id: s.cluster for s in plan.samples}
    kept = [
        replace(r, cluster=cluster.get(r.id, r.cluster))
        for r in folder.rows()
        if r.error is None or r.strategy not in again
    ]
    folder.rewrite(kept)
    folder.save(plan.settings, session)
    rows = {(r.strategy, r.id): r for r in kept}
    failures: list[WeftError] = []
    for strategy in plan.strategies:
        try:
            await _Pass(plan, strategy, pool, folder, rows, watcher).run(session)
        except WeftError as e:
            failures.append(e)
        finally:
            # After each one, in case the process is killed in the next.
            folder.save(plan.settings, session)
            results.save(folder, results.gather(plan.settings, session, list(rows.values())))
    if len(failures) == 1:
        raise failures[0]
    if failures:
        kind = UsageError if all(isinstance(e, UsageError) for e in failures) else EngineError
        raise kind("; ".join(dict.fromkeys(str(e).rstrip(".") for e in failures)))
    return results.gather(plan.settings, session, list(rows.values()))


class _Pass:
    """One strategy over all samples."""

    def __init__(
        self,
        plan: Plan,
        strategy: Strategy,
        pool: Pool,
        folder: Folder,
        rows: dict[tuple[str, str], Row],
        watcher: EvaluationWatcher,
    ) -> None:
        self.plan, self.strategy, self.pool = plan, strategy, pool
        self.answers = strategy
        self.task = GuardedTask(plan.task)
        self.folder, self.rows, self.watcher = folder, rows, watcher
        self.errors = self.refused = 0
        self.last = ""
        self.fatal: WeftError | None = None

    async def run(self, session: Session) -> None:
        spec = self.strategy.spec
        kept = [self.rows[spec, s.id] for s in self.plan.samples if (spec, s.id) in self.rows]
        todo = [s for s in self.plan.samples if (spec, s.id) not in self.rows]
        session.samples[spec] = len(self.plan.samples)
        self.watcher.begin(spec, len(self.plan.samples), kept)
        at_once = self.plan.concurrency
        self.answers = self.strategy.side_by_side(len(todo), at_once)
        if self.answers is not self.strategy:  # its questions wait for each other
            at_once = max(1, len(todo))
        limiter = anyio.CapacityLimiter(at_once)
        started = anyio.current_time()
        try:
            async with TaskGroup() as group:
                for sample in todo:
                    group.start_soon(self._sample, sample, limiter, group.cancel_scope)
        finally:
            spent = anyio.current_time() - started if todo else 0.0
            session.seconds[spec] = session.seconds.get(spec, 0.0) + spent
            mine = [row for (name, _), row in self.rows.items() if name == spec]
            for result in results.gather(self.plan.settings, session, mine).results:
                self.watcher.end(result)
        if self.fatal is not None:
            raise self.fatal
        if self.errors and (self._too_many() or self.errors == len(todo)):
            raise self._failure("failed")
        if self.refused == len(self.plan.samples):
            raise self._failure("were refused")

    async def _sample(
        self, sample: Sample, limiter: anyio.CapacityLimiter, everything: anyio.CancelScope
    ) -> None:
        async with limiter:
            try:
                row = await self._row(sample)
            except UsageError as e:
                # It is wrong for every sample alike, so there is nothing to record.
                self.fatal = e
                everything.cancel()
                return
            row = replace(row, cluster=sample.cluster)
            self.rows[row.strategy, row.id] = row
            self.folder.append(row)
            self.watcher.row(row)
            if row.error is None:
                return
            self.last = row.error
            if row.refused:
                self.refused += 1
            else:
                self.errors += 1
                if self._too_many():
                    everything.cancel()

    async def _row(self, sample: Sample) -> Row:
        seed = stable_seed(self.plan.settings.seed, self.strategy.spec, sample.id)
        sampling = self.plan.settings.sampling
        try:
            question = with_sampling(self.task.question(sample, seed), sampling)
        except PartFailed as e:
            return Row(self.strategy.spec, sample.id, None, error=str(e))

        # Results of strategies with other parameters are those of other programs.
        @stands_for(self.strategy, self.strategy.spec)
        async def attempt() -> Answer | Exception:
            # Errors are values here, so that what was spent before them is known.
            try:
                if self.plan.limits is None:
                    return await self.answers(question)
                with budget(self.plan.limits):
                    return await self.answers(question)
            except Exception as e:
                return cast("Exception", first_error(e))

        done = await run(attempt, pool=self.pool)
        spec, usage, seconds = self.strategy.spec, done.usage, round(done.seconds, 4)
        match done.value:
            case Answer() as answer:
                try:
                    correct, error = self.task.correct(sample, answer), None
                    credit = 1.0 if correct else self.task.credit(sample, answer)
                except PartFailed as e:
                    correct, credit, error = None, None, str(e)
                return Row(
                    spec, sample.id, correct, answer.value, answer.score,
                    answer.details, usage, seconds, error, answer.text, credit,
                )  # fmt: skip
            case BudgetExceeded() as e:
                # The limit is part of the question: without an answer in time it is wrong.
                details = {"budget_exceeded": e.resource}
                return Row(spec, sample.id, False, details=details, usage=usage, seconds=seconds)
            case UsageError() as e:
                raise e
            case Exception() as e:
                error = str(e) if isinstance(e, WeftError) else said(e)
                correct = False if _never_works(e) else None
                return Row(spec, sample.id, correct, usage=usage, seconds=seconds, error=error)

    def _too_many(self) -> bool:
        return self.errors > most_errors(self.plan.max_errors, len(self.plan.samples))

    def _failure(self, how: str) -> EngineError:
        done = sum(
            name == self.strategy.spec and r.error is None for (name, _), r in self.rows.items()
        )
        kept = f"{done} finished ones are kept in {self.folder.path}, and the same command goes on "
        return EngineError(
            f"{self.strategy.spec}: {self.errors or self.refused} samples {how}, the last because "
            f"{self.last}; {kept}from there"
        )


def with_sampling(question: Question, sampling: Mapping[str, Any]) -> Question:
    """The question under further settings of sampling."""
    if not sampling:
        return question
    more = dict(sampling)
    top_p = more.pop("top_p", question.top_p)
    both = cast("MoreSampling", {**question.sampling, **more})
    return replace(question, top_p=top_p, sampling=both)


def _never_works(error: BaseException | None) -> bool:
    """Whether an engine refused the request itself, so that no other try will help."""
    while error is not None:
        if isinstance(error, ContextExceeded | RequestRejected):
            return True
        error = error.__cause__
    return False
