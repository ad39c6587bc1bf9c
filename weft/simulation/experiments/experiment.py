"""Experiments: a workload under several policies and loads, one run after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from weft.errors import UsageError
from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.orchestrator.policy import Policy
from weft.simulation.arrivals import Arrivals
from weft.simulation.experiments.folder import SPEED, SimulationFolder, write_json
from weft.simulation.experiments.optimum import Trace
from weft.simulation.metrics import PlayMetrics, measure
from weft.simulation.records import JobRecord
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Job, PlannedCall, Step, Workload


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is simulated.

    Attributes:
        workload: what is run.
        fleet: on which engines.
        policies: what schedules it, in turn.
        loads: how its jobs arrive, in turn, for each policy.
        seed: of the arrivals; the workload's own is the workload's business.
        slo: seconds within which a job should finish, for those that don't say.
        optimum: whether to compute the optimum's hit rate.
    """

    workload: Workload
    fleet: SimulatedFleet
    policies: Sequence[Policy]
    loads: Sequence[Arrivals]
    seed: int = 0
    slo: float | None = None
    optimum: bool = True

    def described(self) -> dict[str, Any]:
        """All that determines the results, as plain data."""
        fleet = self.fleet
        return {
            "workload": self.workload.name,
            "fleet": {
                "engines": fleet.engines,
                "hardware": fleet.hardware.name,
                "kv_tokens": fleet.kv_tokens,
                "block_size": fleet.block_size,
                "concurrency": fleet.concurrency,
                "batched_tokens": fleet.batched_tokens,
                "leases": fleet.leases,
            },
            "policies": [policy.spec for policy in self.policies],
            "arrivals": [load.spec for load in self.loads],
            "seed": self.seed,
            "slo": self.slo,
        }


@dataclass(frozen=True, slots=True)
class PolicyOutcome:
    """What one policy did under one load.

    Attributes:
        policy: its spec.
        load: how jobs arrived.
        metrics: the figures.
        counters: what the scheduler did.
        best_hit_rate: by Belady's optimum on the same placement; None if not wanted.
        wall: seconds that the simulation took.
        error: why the first of the programs that failed did.
    """

    policy: str
    load: Arrivals
    metrics: PlayMetrics
    counters: DispatchCounters
    best_hit_rate: float | None
    wall: float
    error: str = ""

    @property
    def to_optimum(self) -> float | None:
        """How many times as many tokens the optimum would have found cached."""
        best, found = self.best_hit_rate, self.metrics.hit_rate
        return best / found if best is not None and found else None

    def described(self) -> dict[str, Any]:
        """The figures as plain data, those that depend on the machine left out."""
        return {
            "policy": self.policy,
            "arrivals": self.load.spec,
            **asdict(self.metrics),
            "best_hit_rate": self.best_hit_rate,
            "to_optimum": self.to_optimum,
            **asdict(self.counters),
        }

    def speed(self) -> dict[str, Any]:
        """How long it took."""
        wall = self.wall or 1e-9
        return {
            "policy": self.policy,
            "arrivals": self.load.spec,
            "wall_seconds": self.wall,
            "simulated_seconds": self.metrics.seconds,
            "times_real_time": self.metrics.seconds / wall,
            "decisions_per_second": self.counters.decisions / wall,
        }


class ExperimentWatcher(Protocol):
    """Watches an experiment go on."""

    def begin(self, policy: str, load: Arrivals) -> None:
        """A run begins."""

    def job(self, record: JobRecord) -> None:
        """A job of it has ended."""

    def end(self) -> None:
        """It has ended."""


def conduct(
    experiment: Experiment,
    folder: SimulationFolder | None = None,
    watcher: ExperimentWatcher | None = None,
) -> Iterator[PolicyOutcome]:
    """Simulate all policies under all loads; outcomes come as they are there.

    Args:
        experiment: what to do.
        folder: where to keep all that happens; made for this experiment.
        watcher: told how it goes.

    Raises:
        UsageError: a call of the workload is larger than an engine's KV cache.
        ConfigError: the workload can't be read.
    """
    speeds: list[dict[str, Any]] = []
    for policy, load in itertools.product(experiment.policies, experiment.loads):
        if watcher is not None:
            watcher.begin(policy.spec, load)
        outcome = _run(experiment, policy, load, folder, watcher)
        if watcher is not None:
            watcher.end()
        speeds.append(outcome.speed())
        if folder is not None:
            write_json(folder.path / SPEED, {"runs": speeds})
        yield outcome


def _run(
    experiment: Experiment,
    policy: Policy,
    load: Arrivals,
    folder: SimulationFolder | None,
    watcher: ExperimentWatcher | None,
) -> PolicyOutcome:
    fleet = experiment.fleet
    run = folder.run(policy.spec, load.spec) if folder is not None else None
    trace = Trace(fleet.block_size) if experiment.optimum else None
    with run.decisions.writing() if run is not None else nullcontext() as observe:
        done = simulate(
            fitting(experiment.workload, fleet.kv_tokens // fleet.block_size * fleet.block_size),
            policy,
            fleet,
            load,
            seed=experiment.seed,
            observe=observe,
            on_end=watcher.job if watcher is not None else None,
            on_sent=trace.on_sent if trace is not None else None,
        )
    outcome = PolicyOutcome(
        policy.spec,
        load,
        measure(done.played, experiment.slo),
        done.counters,
        trace.best_hit_rate(fleet.kv_tokens) if trace is not None else None,
        done.wall,
        next((job.error for job in done.played.jobs if job.error), ""),
    )
    if run is not None:
        run.write(done.played, outcome.described())
    return outcome


def first_jobs(workload: Workload, most: int) -> Workload:
    """The first jobs of a workload only."""
    return replace(workload, jobs=_First(workload.jobs, most))


def fitting(workload: Workload, kv_tokens: int) -> Workload:
    """The same workload, checked as it is read.

    Raises:
        UsageError: when read, at a call that an engine with so many tokens of KV can't hold.
    """
    return replace(workload, jobs=_Fitting(workload.jobs, kv_tokens))


@dataclass(frozen=True, slots=True)
class _First:
    jobs: Iterable[Job]
    most: int

    def __iter__(self) -> Iterator[Job]:
        return itertools.islice(self.jobs, self.most)


@dataclass(frozen=True, slots=True)
class _Fitting:
    jobs: Iterable[Job]
    kv_tokens: int

    def __iter__(self) -> Iterator[Job]:
        return (replace(job, steps=self._steps(job.id, job.steps)) for job in self.jobs)

    def _steps(self, job: str, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            self._check(job, step)
            yield step

    def _check(self, job: str, step: Step) -> None:
        if not isinstance(step, PlannedCall):
            for branch in step.branches:
                for inner in branch:
                    self._check(job, inner)
            return
        if (tokens := step.prompt + step.answer) > self.kv_tokens:
            factor = math.floor(100 * self.kv_tokens / tokens) / 100
            raise UsageError(
                f"a call of {job} holds {tokens} tokens, and an engine's KV cache holds "
                f"{self.kv_tokens}; play the workload at most {factor:g} times as large by "
                "--scale, or give engines a larger cache by --kv-tokens, --gpu or --parallel"
            )
