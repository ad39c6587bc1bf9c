"""Plays a workload on a scheduler: the same on simulated engines and on real ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, cast

import anyio
import anyio.abc

from weft.concurrency import TaskGroup
from weft.errors import EngineError, UsageError
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program
from weft.orchestrator.scheduler import Scheduler
from weft.parts.faults import blaming, each
from weft.simulation.arrivals import Arrivals
from weft.simulation.records import JobRecord, PlayedCall
from weft.simulation.workload import Job, Parallel, PlannedCall, Step, Workload
from weft.types import Delta

MakeCall = Callable[[str, Job, PlannedCall], Call]
"""Makes the call of a planned, under an id."""
OnSent = Callable[[PlayedCall, PlannedCall], None]
"""Told of a call that goes to an engine, perhaps for another time."""
OnAnswer = Callable[[Call, PlannedCall, Sequence[int]], None]
"""Told of a call that has ended, with the ids of its answer as far as the engine gives them."""


@dataclass(slots=True)
class Play:
    """A played workload: what became of its jobs and calls, in the order of their ends."""

    jobs: list[JobRecord] = field(default_factory=list[JobRecord])
    calls: list[PlayedCall] = field(default_factory=list[PlayedCall])


async def play(
    workload: Workload,
    scheduler: Scheduler,
    arrivals: Arrivals,
    make: MakeCall,
    *,
    seed: int = 0,
    on_end: Callable[[JobRecord], None] | None = None,
    on_sent: OnSent | None = None,
    on_answer: OnAnswer | None = None,
) -> Play:
    """Play all jobs of a workload to their ends.

    Args:
        workload: the jobs.
        scheduler: runs their calls.
        arrivals: when they begin.
        make: makes the scheduler's call of a planned one.
        seed: of the arrivals.
        on_end: told of every job that has ended.
        on_sent: told of every call that goes to an engine.
        on_answer: told of every call that has ended by itself; an `EngineError` that it raises
            fails the call.

    A job one of whose calls fails ends there; its record says why.
    """
    played = Play()
    begun = anyio.current_time()
    kind = type(arrivals)
    with blaming("arrival process", kind):
        most = _concurrency(arrivals)
    slots = anyio.Semaphore(most) if most else None
    last = -math.inf

    async def one(job: Job) -> None:
        try:
            record = await _Actor(job, scheduler, make, played, on_sent, on_answer).run()
        finally:
            if slots is not None:
                slots.release()
        if on_end is not None:
            on_end(record)

    async with TaskGroup() as group:
        for pair in each("arrival process", kind, lambda: arrivals.times(workload, seed), tuple):
            with blaming("arrival process", kind):
                at, job = _arrival(pair, last)
            last = at
            if slots is not None:
                await slots.acquire()
            elif (wait := begun + at - anyio.current_time()) > 0:
                await anyio.sleep(wait)
            group.start_soon(one, job)
        if last < 0:
            _check_some(workload, kind)
    return played


def _check_some(workload: Workload, arrivals: type[Arrivals]) -> None:
    """Say why nothing was played."""
    if next(iter(workload), None) is None:
        raise UsageError(
            f"workload {workload.name} has no programs; change its parameters, or name another"
        )
    with blaming("arrival process", arrivals):
        raise ValueError("it lets none of the workload's programs begin")


def _concurrency(arrivals: Arrivals) -> int:
    most = cast(object, arrivals.concurrency)
    if not isinstance(most, int) or most < 0:
        raise ValueError(f"its concurrency must be a whole number of at least 0, not {most!r}")
    return most


def _arrival(pair: tuple[Any, ...], last: float) -> tuple[float, Job]:
    """When a job begins, and which, as an arrival process says."""
    at, job = pair
    if not isinstance(job, Job):
        raise TypeError(f"it gave {job!r:.60} where a job is needed, behind its time")
    if not isinstance(at, Real) or not max(last, 0.0) <= float(at) < math.inf:
        raise ValueError(
            f"the time of job {job.id} must be a number of at least {max(last, 0.0):g}, "
            f"not {at!r:.60}"
        )
    return float(at), job


class _Actor:
    """Acts one job out."""

    def __init__(
        self,
        job: Job,
        scheduler: Scheduler,
        make: MakeCall,
        played: Play,
        on_sent: OnSent | None,
        on_answer: OnAnswer | None,
    ) -> None:
        self._job, self._scheduler, self._make, self._played = job, scheduler, make, played
        self._on_sent, self._on_answer = on_sent, on_answer
        self._record = JobRecord(job.id, job.name, job.tenant, anyio.current_time(), slo=job.slo)
        self._calls = 0

    async def run(self) -> JobRecord:
        job, record = self._job, self._record
        if self._scheduler.knows(job.id):
            raise UsageError(
                f"job {job.id} begins while another job of this id runs; give each job of the "
                "workload an id of its own, and have arrivals begin each once"
            )
        deadline = record.arrived + job.slo if job.slo is not None else None
        self._scheduler.begin(
            Program(
                job.id,
                job.name,
                job.tenant,
                arrived=record.arrived,
                deadline=deadline,
                expected_calls=job.calls,
            )
        )
        try:
            for step in job.steps:
                await self._step(step, 1, None)
        except EngineError as error:
            record.error = str(error)
        finally:
            self._scheduler.end(job.id)
            record.ended = anyio.current_time()
            self._played.jobs.append(record)
        return record

    async def _step(self, step: Step, siblings: int, group: CallGroup | None) -> None:
        if isinstance(step, PlannedCall):
            await self._play(step, siblings, group)
        else:
            await self._parallel(step, group)

    async def _parallel(self, step: Parallel, outer: CallGroup | None) -> None:
        width = len(step.branches)
        left = width if step.enough is None else step.enough
        announced = CallGroup(width, left, outer=outer)
        failed: list[EngineError] = []

        async def branch(steps: tuple[Step, ...], group: anyio.abc.TaskGroup) -> None:
            nonlocal left
            try:
                for one in steps:
                    await self._step(one, width, announced)
            except EngineError as error:
                failed.append(error)
                group.cancel_scope.cancel()
            left -= 1
            announced.ended += 1
            if left == 0:
                group.cancel_scope.cancel()

        async with TaskGroup() as group:
            for steps in step.branches:
                group.start_soon(branch, steps, group)
        if failed:
            raise failed[0]

    async def _play(self, planned: PlannedCall, siblings: int, group: CallGroup | None) -> None:
        self._calls += 1
        id = f"{self._job.id}/{self._calls}"
        call = self._make(id, self._job, planned)
        call.siblings, call.group = siblings, group
        now = anyio.current_time()
        record = PlayedCall(id, self._job.id, planned.stage, call.prompt_tokens, now)
        following = _Following(record, planned, self._on_sent)
        try:
            await self._scheduler.run(call, following)
            if self._on_answer is not None:
                self._on_answer(call, planned, following.tokens)
        finally:
            record.ended = anyio.current_time()
            self._record.calls += 1
            self._played.calls.append(record)
        if planned.wait > 0:
            await anyio.sleep(planned.wait)


class _Following:
    """Keeps what comes of a call in its record."""

    def __init__(self, record: PlayedCall, planned: PlannedCall, on_sent: OnSent | None) -> None:
        self._record, self._planned, self._on_sent = record, planned, on_sent
        self.tokens: list[int] = []

    def on_refused(self) -> None: ...

    def on_sent(self, ticket: Ticket) -> None:
        record = self._record
        record.engine, record.sent, record.first = ticket.engine, anyio.current_time(), 0.0
        record.reason, record.foreseen = ticket.reason, ticket.cached
        record.answer, record.tries = 0, record.tries + 1
        self.tokens = []
        if self._on_sent is not None:
            self._on_sent(record, self._planned)

    def on_delta(self, delta: Delta) -> None:
        record = self._record
        if not record.answer:
            record.first = anyio.current_time()
        record.answer += delta.count
        self.tokens += delta.tokens
        if delta.finish_reason is not None:
            record.done, record.cached = True, delta.cached_tokens or 0
