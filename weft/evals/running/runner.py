"""Run strategies over the samples of a task, keeping each result as it comes.

Strategies run one after the other, and all problems of one at once, so that seconds mean
something for each strategy while the engines stay full. A row is on disk as soon as its
sample is done; what is there already is not run again.

Chance differs between strategies and between samples: each question's seed derives from the
run's seed, the strategy's spec and the sample's id. So no strategy gets its calls for free
from a Store that another has filled, and errors of samples are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio

from weft.concurrency import TaskGroup
from weft.errors import EngineError, UsageError, WeftError
from weft.evals import results
from weft.evals.costs.energy import Reading, joules
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.records.row import RowKey
from weft.evals.running.asking import Asking
from weft.evals.running.votes import RepeatVotes
from weft.evals.suites.failures import most_errors
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample, Task
from weft.orchestrator.pool import Pool
from weft.programs import Limits
from weft.programs.calls.checks import ResultChecks
from weft.search.strategy import Strategy


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
        priority: of each strategy's calls, by its spec; 0 where it is not named.
        check: the share of calls that a second engine is asked too.
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
    priority: Mapping[str, int] = field(default_factory=dict[str, int])
    check: float = 0.0

    @property
    def asked(self) -> Iterator[tuple[Sample, int]]:
        """Each sample with each repeat; all samples once before the first is asked again."""
        return ((s, repeat) for repeat in range(self.repeats) for s in self.samples)

    @property
    def count(self) -> int:
        """How many these are."""
        return self.repeats * len(self.samples)


class EvaluationWatcher(Protocol):
    """Told how an evaluation goes."""

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None:
        """A strategy begins; `kept` rows were there already, `right` of them right."""

    def row(self, row: Row) -> None:
        """A sample is done, or failed."""

    def end(self, strategy: str) -> None:
        """A strategy is done, or was broken off."""

    def tick(self, alive: int, engines: int) -> None:
        """Another second has gone by; so many of the engines are alive."""


async def evaluate(
    plan: Plan, pool: Pool, folder: Folder, session: Session, watcher: EvaluationWatcher
) -> None:
    """Run what is not in the folder yet.

    Rows with an error are run again. A sample that engines refuse, because it is longer than
    their context, say, counts as wrong until then. A strategy that fails does not keep
    the next one from being run. Whatever way this ends, finished samples and `run.json` are
    kept. No row is held once it is on disk, so that memory does not grow with the rows.

    Raises:
        EngineError: a strategy had more errors than `max_errors` allows, or every sample failed.
        UsageError: a strategy can't work with these engines.
    """
    most_errors(plan.max_errors, plan.count)
    _renew(plan, folder)
    folder.save(plan.settings, session)
    told = results.Told(results.read(folder))
    failures: list[WeftError] = []
    async with TaskGroup() as group:
        checks = ResultChecks(plan.check, group, lambda call: None) if plan.check else None
        for strategy in plan.strategies:
            try:
                await _Pass(plan, strategy, pool, folder, watcher, checks).run(session)
            except WeftError as e:
                failures.append(e)
            finally:
                # After each one, in case the process is killed in the next.
                folder.save(plan.settings, session)
                told.renew(folder, strategy.spec)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        kind = UsageError if all(isinstance(e, UsageError) for e in failures) else EngineError
        raise kind("; ".join(dict.fromkeys(str(e).rstrip(".") for e in failures)))


def _renew(plan: Plan, folder: Folder) -> None:
    """Leave out rows with an error that are to be run again, and see that clusters are the task's.

    The file is written anew only if that changes anything.
    """
    again = {s.spec for s in plan.strategies}
    cluster = {s.id: s.cluster for s in plan.samples}

    def kept(row: Row) -> Row | None:
        if row.error is not None and row.strategy in again:
            return None
        own = cluster.get(row.id, row.cluster)
        return row if own == row.cluster else replace(row, cluster=own)

    folder.rewrite(kept)


class _Pass:
    """One strategy over all samples."""

    def __init__(
        self,
        plan: Plan,
        strategy: Strategy,
        pool: Pool,
        folder: Folder,
        watcher: EvaluationWatcher,
        checks: ResultChecks | None,
    ) -> None:
        self.plan, self.strategy, self.pool = plan, strategy, pool
        self.folder, self.watcher, self.checks = folder, watcher, checks
        self.task = GuardedTask(plan.task)
        self.done: set[tuple[str, int]] = set()
        """What was there when the pass began."""
        self.votes: RepeatVotes | None = None
        self.finished = self.errors = self.refused = 0
        self.last = ""
        self.fatal: WeftError | None = None

    async def run(self, session: Session) -> None:
        spec, plan = self.strategy.spec, self.plan
        self._look()
        count = sum(self._wanted(s.id, i) for s, i in plan.asked)
        session.samples[spec] = plan.count
        at_once = plan.concurrency
        answers = self.strategy.side_by_side(count, at_once)
        if answers is not self.strategy:  # its questions wait for each other
            at_once = count
        asking = Asking(
            self.strategy,
            answers,
            self.task,
            plan.settings.seed,
            plan.settings.sampling,
            plan.limits,
            self.pool,
            plan.priority.get(spec, 0),
            self.checks,
            self.folder,
        )
        waiting = ((s, i) for s, i in plan.asked if self._wanted(s.id, i))

        async def work() -> None:
            for sample, repeat in waiting:
                await self._sample(asking, sample, repeat, group.cancel_scope)

        started, read = anyio.current_time(), plan.meter()
        try:
            async with TaskGroup() as group:
                for _ in range(min(at_once, count)):
                    group.start_soon(work)
        finally:
            spent = anyio.current_time() - started if count else 0.0
            if count:
                used, before = joules(read, plan.meter()), session.joules.pop(spec, None)
                if used is not None and (before is not None or spec not in session.seconds):
                    session.joules[spec] = (before or 0.0) + used
            session.seconds[spec] = session.seconds.get(spec, 0.0) + spent
            self.watcher.end(spec)
        if self.fatal is not None:
            raise self.fatal
        if self.errors and (self._too_many() or self.errors == count):
            raise self._failure("failed")
        if self.refused == plan.count:
            raise self._failure("were refused")

    def _look(self) -> None:
        """See what is there already."""
        plan, right = self.plan, 0
        if plan.repeats > 1:
            self.votes = RepeatVotes(self.task, plan.samples[0])
        ids = {s.id for s in plan.samples}
        kept = 0
        for row in self.folder.every_row(self.strategy.spec):
            self.done.add(row.key)
            self.finished += row.error is None
            if row.id in ids and row.repeat < plan.repeats:
                kept += 1
                right += bool(row.correct)
                if self.votes is not None:
                    self.votes.add(row)
        self.watcher.begin(self.strategy.spec, plan.count, kept, right)

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
        if self.votes is None:
            self.folder.append(row)
        else:
            async with self.votes.turn(sample.id):
                row = await self.votes.counted(asking, sample, row)
                self.folder.append(row)
                self.votes.add(row)
        self.watcher.row(row)
        if row.error is None:
            self.finished += 1
            return
        self.last = row.error
        if not failed:
            self.refused += 1
        else:
            self.errors += 1
            if self._too_many():
                everything.cancel()

    def _wanted(self, id: str, repeat: int) -> bool:
        only, key = self.plan.only, (id, repeat)
        return key not in self.done and (only is None or (self.strategy.spec, key) in only)

    def _too_many(self) -> bool:
        return self.errors > most_errors(self.plan.max_errors, self.plan.count)

    def _failure(self, how: str) -> EngineError:
        kept = (
            f"{self.finished} finished ones are kept in {self.folder.path}, and the same command "
            "goes on "
        )
        return EngineError(
            f"{self.strategy.spec}: {self.errors or self.refused} samples {how}, the last because "
            f"{self.last}; {kept}from there"
        )
