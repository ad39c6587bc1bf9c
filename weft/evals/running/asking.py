"""One strategy on one sample: asked, heard, judged, and made a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

import anyio.to_thread

from weft.concurrency import first_error
from weft.errors import BudgetExceeded, PartFailed, UsageError, WeftError
from weft.evals.records import Folder, Row
from weft.evals.records.kept_text import kept_texts
from weft.evals.results.checks import keeping
from weft.evals.running.drawn import right_among
from weft.evals.suites.failures import never_works
from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample
from weft.orchestrator.pool import Pool
from weft.parts.faults import said
from weft.programs import Limits, budget, run
from weft.programs.calls.checks import ResultChecks
from weft.programs.nodes import stands_for
from weft.programs.scope.hearing import Heard, checking, hearing, hearing_scores
from weft.search.calibration.examples import judged
from weft.search.strategy import Answer, Question, Strategy, stable_seed
from weft.types import MoreSampling

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asking:
    """How a strategy is asked.

    Attributes:
        strategy: by whose name the row goes.
        answers: which answers in its place; mostly the strategy itself.
        task: asks and judges.
        seed: of the evaluation.
        sampling: further settings of sampling.
        limits: for one sample.
        pool: the engines.
        priority: of its calls; a sample's own is added.
        checks: has a share of its calls made again by another engine.
        folder: where these are kept.
    """

    strategy: Strategy
    answers: Strategy
    task: GuardedTask
    seed: int
    sampling: Mapping[str, Any]
    limits: Limits | None
    pool: Pool
    priority: int = 0
    checks: ResultChecks | None = None
    folder: Folder | None = None

    async def row(self, sample: Sample, repeat: int) -> Row:
        """Ask a sample, and judge what comes.

        Raises:
            UsageError: the strategy can't work with these engines, or this task.
        """
        spec = self.strategy.spec
        parts = (self.seed, spec, sample.id)
        seed = stable_seed(*parts, repeat) if repeat else stable_seed(*parts)
        row = partial(Row, spec, sample.id, cluster=sample.cluster, repeat=repeat)
        try:
            question = with_sampling(self.task.question(sample, seed), self.sampling)
            target = self.task.target(sample)
        except PartFailed as e:
            return row(None, error=str(e), at=_now())

        checks = self._checks(sample, repeat, question)

        # Results of strategies with other parameters are those of other programs.
        @stands_for(self.strategy, spec)
        async def attempt() -> tuple[Answer | Exception, list[Heard], dict[str, float]]:
            # Errors are values here, so that what was spent before them is known.
            with hearing() as heard, hearing_scores() as scores, checking(checks):
                try:
                    if self.limits is None:
                        return await self.answers(question), heard, scores
                    with budget(self.limits):
                        return await self.answers(question), heard, scores
                except Exception as e:
                    return cast("Exception", first_error(e)), heard, scores

        done = await run(attempt, pool=self.pool, priority=self.priority + sample.priority)
        outcome, heard, scores = done.value
        if isinstance(outcome, UsageError):
            raise outcome
        row = partial(row, usage=done.usage, seconds=round(done.seconds, 4), at=_now())
        row = partial(row, target=target, question=_turns(question))

        def judged() -> Row:
            return row(**self._judged(sample, question, outcome, heard, scores))

        return await self._aside(judged)

    def _checks(self, sample: Sample, repeat: int, question: Question) -> ResultChecks | None:
        if self.checks is None or self.folder is None:
            return None
        told = keeping(self.folder, self.strategy.spec, sample.id, repeat, question)
        return self.checks.telling(told)

    def _judged(
        self,
        sample: Sample,
        question: Question,
        outcome: Answer | Exception,
        heard: Sequence[Heard],
        scores: Mapping[str, float],
    ) -> dict[str, Any]:
        """What came of a sample, as fields of its row."""
        text = outcome.text if isinstance(outcome, Answer) else None
        texts, chosen = kept_texts(heard, question, scores, text)
        found: dict[str, Any] = {"correct": None, "texts": texts, "chosen": chosen}
        match outcome:
            case Answer() as answer:
                found["answer"], found["score"] = answer.value, answer.score
                found["details"], found["text"] = answer.details, answer.text
                try:
                    correct = self.task.correct(sample, answer)
                    credit = 1.0 if correct else self.task.credit(sample, answer)
                    notes = self.task.notes(sample, answer)
                    drawn, right = right_among(heard, self.strategy, question, self.task, sample)
                    details = judged(
                        answer.details,
                        lambda value, text: self.task.correct(sample, Answer(text, value)),
                    )
                except PartFailed as e:
                    return found | {"error": str(e)}
                found["details"], found["drawn"], found["right"] = details | notes, drawn, right
                found["correct"], found["credit"] = correct, credit
                return found
            case BudgetExceeded() as e:
                # The limit is part of the question: without an answer in time it is wrong.
                return found | {"correct": False, "details": {"budget_exceeded": e.resource}}
            case Exception() as e:
                error = str(e) if isinstance(e, WeftError) else said(e)
                return found | {"correct": False if never_works(e) else None, "error": error}

    async def voting(self, sample: Sample, row: Row, known: Sequence[str]) -> Row:
        """The row with what its answer counts as beside answers that are known."""
        own = row.answer
        if own is None or own in known:
            return row
        try:
            same = self.task.question(sample, 0).same
            alike = await self._aside(lambda: next((v for v in known if same(v, own)), None))
        except PartFailed:
            return row
        return replace(row, vote=alike)

    async def _aside(self, call: Callable[[], T]) -> T:
        """What a call gives; of tasks that take long for it, without others having to wait."""
        return await anyio.to_thread.run_sync(call) if self.task.slow else call()


def with_sampling(question: Question, sampling: Mapping[str, Any]) -> Question:
    """The question under further settings of sampling."""
    if not sampling:
        return question
    more = dict(sampling)
    top_p = more.pop("top_p", question.top_p)
    both = cast("MoreSampling", {**question.sampling, **more})
    return replace(question, top_p=top_p, sampling=both)


def _turns(question: Question) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in question.prompt.messages]


def _now() -> float:
    return round(time.time(), 3)
