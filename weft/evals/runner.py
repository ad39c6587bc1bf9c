"""Run strategies over the samples of a task, keeping each result as it comes.

Strategies run one after the other, and all problems of one at once, so that seconds mean
something for each strategy while the engines stay full. A row is on disk as soon as its
sample is done; what is there already is not run again.

Chance differs between strategies and between samples: each question's seed derives from the
run's seed, the strategy's spec and the sample's id. So no strategy gets its calls for free
from a Store that another has filled, and errors of samples are independent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import anyio

from weft.concurrency import TaskGroup
from weft.errors import EngineError, UsageError, WeftError
from weft.evals import results
from weft.evals.asking import Asking
from weft.evals.costs.energy import Reading, joules
from weft.evals.failures import most_errors
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.records.folder import RowKey
from weft.evals.results import Evaluation, Result
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample, Task
from weft.orchestrator.pool import Pool
from weft.programs import Limits
from weft.search.strategy import Strategy

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
        only: strategies, and samples with repeats, to which this session keeps; None for all.
        retries: how many times a sample that failed is tried again at once.
        errors_are_wrong: whether samples that still fail count as wrong.
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
    only: Collection[RowKey] | None = None
    retries: int = 0
    errors_are_wrong: bool = False

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

    def kept(row: Row) -> Row | None:
        if row.error is not None and row.strategy in again:
            return None
        own = cluster.get(row.id, row.cluster)
        return row if own == row.cluster else replace(row, cluster=own)

    folder.rewrite(kept)
    folder.save(plan.settings, session)
    rows = {(r.strategy, r.key): r for r in folder.rows()}
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
        self.folder, self.rows, self.watcher = folder, rows, watcher
        self.errors = self.refused = 0
        self.last = ""
        self.fatal: WeftError | None = None
        self.voting: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def run(self, session: Session) -> None:
        spec = self.strategy.spec
        asked = self.plan.asked
        kept = [self.rows[spec, (s.id, i)] for s, i in asked if (spec, (s.id, i)) in self.rows]
        todo = [(s, i) for s, i in asked if self._wanted((spec, (s.id, i)))]
        session.samples[spec] = len(asked)
        self.watcher.begin(spec, len(asked), kept)
        at_once, settings = self.plan.concurrency, self.plan.settings
        answers = self.strategy.side_by_side(len(todo), at_once)
        if answers is not self.strategy:  # its questions wait for each other
            at_once = len(todo)
        asking = Asking(
            self.strategy,
            answers,
            GuardedTask(self.plan.task),
            settings.seed,
            settings.sampling,
            self.plan.limits,
            self.pool,
        )
        waiting = iter(todo)  # a task for each would take memory

        async def work() -> None:
            for sample, repeat in waiting:
                await self._sample(asking, sample, repeat, group.cancel_scope)

        started, read = anyio.current_time(), self.plan.meter()
        try:
            async with TaskGroup() as group:
                for _ in range(min(at_once, len(todo))):
                    group.start_soon(work)
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
        self, asking: Asking, sample: Sample, repeat: int, everything: anyio.CancelScope
    ) -> None:
        try:
            row, tries = await asking.row(sample, repeat), 0
            while row.failed and tries < self.plan.retries:
                tries += 1
                row = replace(await asking.row(sample, repeat), tries=tries)
        except UsageError as e:
            # It is wrong for every sample alike, so there is nothing to record.
            self.fatal = e
            everything.cancel()
            return
        failed = row.failed
        if failed and self.plan.errors_are_wrong:
            row = replace(row, correct=False)
        if self.plan.repeats == 1:
            self._keep(row)
        else:
            async with self.voting[sample.id]:
                self._keep(await asking.voting(sample, row, self._others(row)))
        self.watcher.row(row)
        if row.error is None:
            return
        self.last = row.error
        if not failed:
            self.refused += 1
        else:
            self.errors += 1
            if self._too_many():
                everything.cancel()

    def _wanted(self, key: RowKey) -> bool:
        only = self.plan.only
        return key not in self.rows and (only is None or key in only)

    def _others(self, row: Row) -> list[Row]:
        """The rows of the other repeats."""
        keys = ((row.strategy, (row.id, repeat)) for repeat in range(self.plan.repeats))
        return [self.rows[key] for key in keys if key in self.rows]

    def _keep(self, row: Row) -> None:
        self.folder.append(row)
        self.rows[row.strategy, row.key] = row.slim

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
