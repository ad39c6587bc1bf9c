"""Workloads: programs as data, to be played on engines, simulated or real."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call, and what the program does after it.

    Attributes:
        prompt: tokens of the prompt.
        answer: tokens generated.
        blocks: chained hashes of the whole blocks of prompt and answer, in order: two calls
            share the prefix on which their lists agree. The first `prompt // block_size` are
            the prompt's.
        wait: seconds from the answer to the program's next step: a tool, or a person.
        tool: the name of what it waits for.
        stage: the part of the program that asks.
    """

    prompt: int
    answer: int
    blocks: Sequence[int]
    wait: float = 0.0
    tool: str = ""
    stage: str = "turn"


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches that run at once; the program goes on when enough of them have ended.

    Attributes:
        branches: the steps of each.
        enough: how many must end; the others are cancelled then. None waits for all.
    """

    branches: tuple[tuple[Step, ...], ...]
    enough: int | None = None


Step = PlannedCall | Parallel


@dataclass(frozen=True, slots=True)
class Job:
    """One program of a workload.

    Attributes:
        id: unique in the workload.
        steps: what it does, one after the other; may be read once only.
        arrival: seconds after the workload's begin; None leaves it to the arrival process.
        name: the program that the job is a run of.
        tenant: on whose behalf it runs.
        slo: seconds within which it should finish; None if it has no such wish.
        calls: how many calls it announces, if it does.
    """

    id: str
    steps: Iterable[Step]
    arrival: float | None = None
    name: str = "agent"
    tenant: str = ""
    slo: float | None = None
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs by arrival, streamed: reading one does not hold the others in memory.

    Attributes:
        name: for people.
        jobs: gives the jobs anew for each call of `iter`.
        block_size: of all `PlannedCall.blocks`, tokens.
    """

    name: str
    jobs: Iterable[Job]
    block_size: int

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)
