"""Run strategies over the samples of a task, keeping each result as it comes.

Strategies run one after the other, and all problems of one at once, so that seconds mean
something for each strategy while the engines stay full. A row is on disk as soon as its
sample is done; what is there already is not run again.

Chance differs between strategies and between samples: each question's seed derives from the
run's seed, the strategy's spec and the sample's id. So no strategy gets its calls for free
from a Store that another has filled, and errors of samples are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import anyio

from weft.concurrency import TaskGroup, first_error
from weft.errors import (
    BudgetExceeded,
    EngineError,
    PartFailed,
    UsageError,
    WeftError,
)
from weft.evals import results
from weft.evals.costs.energy import Reading, joules
from weft.evals.drawn import right_among
from weft.evals.failures import most_errors, never_works
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.results import Evaluation, Result
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample, Task
from weft.faults import said
from weft.orchestrator.pool import Pool
from weft.programs import Limits, budget, run
from weft.programs.hearing import Heard, hearing
from weft.programs.nodes import stands_for
from weft.search.calibration.examples import judged
from weft.search.strategy import Answer, Question, Strategy, stable_seed
from weft.types import MoreSampling

Rows = dict[tuple[str, tuple[str, int]], Row]


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
        repeats: how many times each strategy is asked each sample, with other chance each time.
        meter: reads what this machine has used; reads nothing unless given.
    """

    task: Task
    strategies: Sequence[Strategy]
    samples: Sequence[Sample]
    settings: Settings
    limits: Limits | None = None
    concurrency: int = 128
    max_errors: str = "10%"
    repeats: int = 1
    meter: Callable[[], Reading] = dict

    @property
    def asked(self) -> list[tuple[Sample, int]]:
        """Each sample with each repeat; all samples once before the first is asked again."""
        return [(s, repeat) for repeat in range(self.repeats) for s in self.samples]


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
    most_errors(plan.max_errors, len(plan.asked))
    again = {s.spec for s in plan.strategies}
    cluster = {s.id: s.cluster for s in plan.samples}
    kept = [
        replace(r, cluster=cluster.get(r.id, r.cluster))
        for r in folder.rows()
        if r.error is None or r.strategy not in again
    ]
    folder.rewrite(kept)
    folder.save(plan.settings, session)
    rows = {(r.strategy, r.key): r for r in kept}
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
        rows: Rows,
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
        asked = self.plan.asked
        kept = [self.rows[spec, (s.id, i)] for s, i in asked if (spec, (s.id, i)) in self.rows]
        todo = [(s, i) for s, i in asked if (spec, (s.id, i)) not in self.rows]
        session.samples[spec] = len(asked)
        self.watcher.begin(spec, len(asked), kept)
        at_once = self.plan.concurrency
        self.answers = self.strategy.side_by_side(len(todo), at_once)
        if self.answers is not self.strategy:  # its questions wait for each other
            at_once = max(1, len(todo))
        limiter = anyio.CapacityLimiter(at_once)
        started, read = anyio.current_time(), self.plan.meter()
        try:
            async with TaskGroup() as group:
                for sample, repeat in todo:
                    group.start_soon(self._sample, sample, repeat, limiter, group.cancel_scope)
        finally:
            spent = anyio.current_time() - started if todo else 0.0
            if todo:
                used, before = joules(read, self.plan.meter()), session.joules.pop(spec, None)
                if used is not None and (before is not None or spec not in session.seconds):
                    session.joules[spec] = (before or 0.0) + used
            session.seconds[spec] = session.seconds.get(spec, 0.0) + spent
            mine = [row for (name, _), row in self.rows.items() if name == spec]
            for result in results.gather(self.plan.settings, session, mine).results:
                self.watcher.end(result)
        if self.fatal is not None:
            raise self.fatal
        if self.errors and (self._too_many() or self.errors == len(todo)):
            raise self._failure("failed")
        if self.refused == len(asked):
            raise self._failure("were refused")

    async def _sample(
        self,
        sample: Sample,
        repeat: int,
        limiter: anyio.CapacityLimiter,
        everything: anyio.CancelScope,
    ) -> None:
        async with limiter:
            try:
                row = await self._row(sample, repeat)
            except UsageError as e:
                # It is wrong for every sample alike, so there is nothing to record.
                self.fatal = e
                everything.cancel()
                return
            row = replace(row, cluster=sample.cluster, repeat=repeat)
            self.rows[row.strategy, row.key] = row
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

    async def _row(self, sample: Sample, repeat: int) -> Row:
        parts = (self.plan.settings.seed, self.strategy.spec, sample.id)
        seed = stable_seed(*parts, repeat) if repeat else stable_seed(*parts)
        sampling = self.plan.settings.sampling
        try:
            question = with_sampling(self.task.question(sample, seed), sampling)
        except PartFailed as e:
            return Row(self.strategy.spec, sample.id, None, error=str(e))

        # Results of strategies with other parameters are those of other programs.
        @stands_for(self.strategy, self.strategy.spec)
        async def attempt() -> tuple[Answer | Exception, list[Heard]]:
            # Errors are values here, so that what was spent before them is known.
            with hearing() as heard:
                try:
                    if self.plan.limits is None:
                        return await self.answers(question), heard
                    with budget(self.plan.limits):
                        return await self.answers(question), heard
                except Exception as e:
                    return cast("Exception", first_error(e)), heard

        done = await run(attempt, pool=self.pool)
        outcome, heard = done.value
        spec, usage, seconds = self.strategy.spec, done.usage, round(done.seconds, 4)
        match outcome:
            case Answer() as answer:
                drawn = right = 0
                try:
                    correct, error = self.task.correct(sample, answer), None
                    credit = 1.0 if correct else self.task.credit(sample, answer)
                    drawn, right = right_among(heard, self.strategy, question, self.task, sample)
                    details = judged(
                        answer.details,
                        lambda value, text: self.task.correct(sample, Answer(text, value)),
                    )
                except PartFailed as e:
                    correct, credit, error, details = None, None, str(e), answer.details
                return Row(
                    spec, sample.id, correct, answer.value, answer.score,
                    details, usage, seconds, error, answer.text, credit,
                    drawn=drawn, right=right,
                )  # fmt: skip
            case BudgetExceeded() as e:
                # The limit is part of the question: without an answer in time it is wrong.
                details = {"budget_exceeded": e.resource}
                return Row(spec, sample.id, False, details=details, usage=usage, seconds=seconds)
            case UsageError() as e:
                raise e
            case Exception() as e:
                error = str(e) if isinstance(e, WeftError) else said(e)
                correct = False if never_works(e) else None
                return Row(spec, sample.id, correct, usage=usage, seconds=seconds, error=error)

    def _too_many(self) -> bool:
        return self.errors > most_errors(self.plan.max_errors, len(self.plan.asked))

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
