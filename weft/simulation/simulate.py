"""simulate: plays a workload on a fleet of simulated engines, in virtual time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import trio

from weft.backends.simulated.engine import SimulatedEngine, SimulatedRequest
from weft.backends.simulated.hardware import Hardware
from weft.backends.timeline import Timeline
from weft.concurrency import TaskGroup, first_error
from weft.orchestrator.call import Call
from weft.orchestrator.decisions.decision import Decision
from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.policy import Policy
from weft.orchestrator.scheduler import LEASE, Scheduler
from weft.simulation.arrivals import Arrivals
from weft.simulation.clock import VirtualClock
from weft.simulation.play import OnSent, Play, play
from weft.simulation.records import JobRecord
from weft.simulation.standstill import StandstillWatch
from weft.simulation.workload import Job, PlannedCall, Workload

MODEL = "simulated"


class SimulatedCall(Call):
    """A call whose content is known by its blocks only."""

    __slots__ = ()

    @property
    def _simulated(self) -> SimulatedRequest:
        assert isinstance(self.request, SimulatedRequest)
        return self.request

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return self._simulated.prompt

    def _hash(self, block_size: int) -> list[int]:
        # The block size is the workload's.
        return list(self._simulated.blocks[: self._simulated.prompt // block_size])

    def grown(self, block_size: int, answer: Sequence[int], count: int) -> Sequence[int]:
        """The blocks of the prompt and of the answer so far."""
        if not count:
            return self.hashes(block_size)
        return self._simulated.blocks[: (self._simulated.prompt + count - 1) // block_size]


def simulated_call(id: str, job: Job, planned: PlannedCall) -> Call:
    """The call of a planned, for a simulated engine."""
    request = SimulatedRequest(
        id, MODEL, (), prompt=planned.prompt, answer=planned.answer, blocks=planned.blocks
    )
    return SimulatedCall(request, job.id, stage=planned.stage, tool=planned.tool)


@dataclass(frozen=True, slots=True)
class SimulatedFleet:
    """The engines to simulate, all alike.

    Attributes:
        engines: how many.
        hardware: how long their steps take.
        kv_tokens: tokens that the KV cache of one holds.
        block_size: tokens in a block.
        concurrency: most calls that one runs at once.
        batched_tokens: most tokens of a step.
        leases: whether they have leases (see `weft.leases`).
    """

    engines: int
    hardware: Hardware
    kv_tokens: int
    block_size: int = 64
    concurrency: int = 256
    batched_tokens: int = 8192
    leases: bool = False


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulation gave.

    Attributes:
        played: what became of jobs and calls.
        counters: the scheduler's.
        seconds: virtual time from the first arrival to the last end.
        wall: real time that it took.
        engines: the engines as they ended, with their own counters.
    """

    played: Play
    counters: DispatchCounters
    seconds: float
    wall: float
    engines: tuple[SimulatedEngine, ...]


def simulate(
    workload: Workload,
    policy: Policy,
    fleet: SimulatedFleet,
    arrivals: Arrivals,
    *,
    seed: int = 0,
    profiles: Profiles | None = None,
    lease: float = LEASE,
    observe: Callable[[Decision], None] | None = None,
    on_end: Callable[[JobRecord], None] | None = None,
    on_sent: OnSent | None = None,
) -> Simulation:
    """Play `workload` under `policy`; the same seed gives the same result, to the byte.

    Args:
        workload: what is run; its blocks must be of the fleet's size.
        policy: schedules it, by the scheduler that serves real engines.
        fleet: the engines.
        arrivals: when jobs begin.
        seed: of the arrivals.
        profiles: what is known of the programs beforehand; nothing by default.
        lease: as for `Scheduler`.
        observe: told of every decision.
        on_end: told of every job that has ended.
        on_sent: told of every call that goes to an engine.

    Raises:
        Standstill: the policy keeps calls waiting for ever.
        PartFailed: the workload or the arrival process raised something, or gives what can't be
            played.
    """
    timeline = Timeline()

    async def main() -> Simulation:
        async with timeline:
            engines = [
                SimulatedEngine(
                    timeline,
                    fleet.hardware,
                    name=f"engine-{i}",
                    model=MODEL,
                    kv_tokens=fleet.kv_tokens,
                    block_size=fleet.block_size,
                    concurrency=fleet.concurrency,
                    batched_tokens=fleet.batched_tokens,
                    leases=fleet.leases,
                )
                for i in range(fleet.engines)
            ]
            for engine in engines:
                await engine.connect()
            scheduler = Scheduler(
                engines,
                policy,
                profiles=profiles,
                timeline=timeline,
                lease=lease,
                observe=observe,
                standstill=None,  # it is an error here
            )
            begun, wall = anyio.current_time(), time.perf_counter()
            async with TaskGroup() as group:
                watch = StandstillWatch(scheduler, engines, lease, group.cancel_scope)
                clock.on_idle = watch.look
                group.start_soon(scheduler.watch)
                played = await play(
                    workload,
                    scheduler,
                    arrivals,
                    simulated_call,
                    seed=seed,
                    on_end=on_end,
                    on_sent=on_sent,
                )
                group.cancel_scope.cancel()
                return Simulation(
                    played,
                    scheduler.counters,
                    anyio.current_time() - begun,
                    time.perf_counter() - wall,
                    tuple(engines),
                )
            assert watch.error is not None
            raise watch.error

    clock = VirtualClock(timeline)
    with _deterministic(seed):
        try:
            return anyio.run(main, backend="trio", backend_options={"clock": clock})
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None


@contextmanager
def _deterministic(seed: int) -> Generator[None]:
    """Have trio run tasks in an order that depends on the seed alone (as its tests do)."""
    run: Any = trio._core._run  # pyright: ignore
    kept = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r
    run._ALLOW_DETERMINISTIC_SCHEDULING, run._r = True, random.Random(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING, run._r = kept
