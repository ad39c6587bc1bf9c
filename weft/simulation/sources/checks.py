"""Checks of what a user's source gives: jobs and steps that no player could play."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import cast

from weft.parts.faults import blaming, each
from weft.simulation.sources import Source
from weft.simulation.workload import Job, Parallel, PlannedCall, Step


def checked_jobs(source: Source, block_size: int, seed: int) -> Iterator[Job]:
    """The jobs of a source, with all that is wrong with a job put down to the source.

    Raises:
        PartFailed: when read, the source raised something, or gives what can't be played.
    """
    part = type(source)
    for job in each("workload", part, lambda: source.jobs(block_size, seed), Job):
        with blaming("workload", part):
            _check_job(job)
        yield replace(job, steps=_checked_steps(part, job, block_size))


def _checked_steps(part: type[Source], job: Job, block_size: int) -> Iterable[Step]:
    """The steps of a job; what is a sequence stays one."""
    found = _steps(part, job, block_size)
    return tuple(found) if isinstance(job.steps, Sequence) else found


def _steps(part: type[Source], job: Job, block_size: int) -> Iterator[Step]:
    for step in each("workload", part, lambda: job.steps, (PlannedCall, Parallel)):
        with blaming("workload", part):
            _check_step(job.id, step, block_size)
        yield step


def _check_job(job: Job) -> None:
    for name in ("id", "name", "tenant"):
        if not isinstance(value := getattr(job, name), str):
            raise TypeError(f"{name} of job {job.id} must be a text, not {value!r}")
    for name, value in (("arrival", job.arrival), ("slo", job.slo)):
        if value is not None:
            _number(f"{name} of job {job.id}", value)
    if job.calls is not None:
        _whole(f"calls of job {job.id}", job.calls)


def _check_step(job: str, step: object, block_size: int) -> None:
    if isinstance(step, PlannedCall):
        _check_call(job, step, block_size)
        return
    if not isinstance(step, Parallel):
        raise TypeError(f"job {job} has {step!r:.60} where PlannedCall or Parallel is needed")
    width = len(step.branches)
    if step.enough is not None and not 1 <= _whole(f"enough in job {job}", step.enough) <= width:
        raise ValueError(f"job {job} wants {step.enough} of {width} branches; from 1 to all can be")
    for branch in step.branches:
        if not isinstance(cast(object, branch), Sequence):
            raise TypeError(
                f"job {job} has {branch!r:.60} where a branch, a tuple of steps, is due"
            )
        for inner in branch:
            _check_step(job, inner, block_size)


def _check_call(job: str, call: PlannedCall, block_size: int) -> None:
    whose = f"of a call of job {job}"
    tokens = _whole(f"prompt {whose}", call.prompt) + _whole(f"answer {whose}", call.answer)
    _number(f"wait {whose}", call.wait)
    blocks = call.blocks
    if not isinstance(cast(object, blocks), Sequence):
        raise TypeError(f"blocks {whose} must be a sequence of hashes, not {blocks!r:.60}")
    hash(tuple(blocks))
    if len(blocks) > tokens // block_size:
        raise ValueError(
            f"a call of job {job} has {len(blocks)} blocks of {block_size} tokens, and {tokens} "
            "tokens of prompt and answer; give the whole blocks only"
        )


def _whole(what: str, value: object) -> int:
    if not isinstance(value, Integral) or (number := int(value)) < 1:
        raise ValueError(f"{what} must be a whole number of at least 1, not {value!r}")
    return number


def _number(what: str, value: object) -> None:
    if not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{what} must be a number of at least 0, not {value!r}")
