"""Jobs, steps and times that users' sources and arrival processes should not give."""

# What no type allows is what is tried here.
# pyright: reportArgumentType=false
from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from weft.backends.simulated.hardware import Linear
from weft.errors import PartFailed, UsageError
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import Arrivals, parse_arrivals
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.sources import Source
from weft.simulation.workload import Job, Parallel, PlannedCall
from weft.simulation.workloads import open_workload

FLEET = SimulatedFleet(
    1, Linear(fixed=0.01, prefill_token=0.0001, decode=0.001, kv_tokens=4096), 4096
)


@dataclass(frozen=True)
class Given(Source):
    make: Callable[[], Any] = list

    def __post_init__(self) -> None:
        """Its field is no parameter."""

    @property
    def spec(self) -> str:
        return "given"

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        return self.make()


@dataclass(frozen=True)
class Timed(Arrivals):
    make: Callable[[Any], Any] = iter
    most: Any = 0

    def __post_init__(self) -> None:
        """Its fields are no parameters."""

    @property
    def concurrency(self) -> int:
        return self.most

    def times(self, jobs: Any, seed: int) -> Any:
        return self.make(jobs)


def call(prompt: Any = 128, answer: Any = 64, blocks: Any = (1, 2, 3), **more: Any) -> PlannedCall:
    return PlannedCall(prompt, answer, blocks, **more)


def job(*steps: Any, **more: Any) -> Job:
    return Job("a", steps, **more)


def play(make: Callable[[], Any], arrivals: Arrivals | None = None) -> int:
    """How many jobs came to their ends."""
    work = open_workload(Given(make), block_size=64)
    burst = arrivals or parse_arrivals("burst")
    return len(simulate(work, parse_policy("fcfs"), FLEET, burst).played.jobs)


async def later() -> Any:
    return []


def leaving() -> Iterator[Any]:
    yield call()
    sys.exit(0)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: None, "not None"),
        (lambda: [7], "Job"),
        (later, "async"),
        (leaving, "Job"),
        (lambda: [job(call(prompt=-5))], "prompt of a call of job a must be a whole number"),
        (lambda: [job(call(prompt=12.5))], "12.5"),
        (lambda: [job(call(prompt=math.nan))], "nan"),
        (lambda: [job(call(answer=0))], "answer"),
        (lambda: [job(call(answer="many"))], "'many'"),
        (lambda: [job(call(wait=math.nan))], "wait of a call of job a must be a number"),
        (lambda: [job(call(wait=math.inf))], "inf"),
        (lambda: [job(call(wait=-1))], "-1"),
        (lambda: [job(call(wait="5"))], "'5'"),
        (lambda: [job(call(blocks=None))], "blocks"),
        (lambda: [job(call(blocks=[[1]]))], "unhashable"),
        (lambda: [job(call(blocks=range(9)))], "9 blocks of 64 tokens, and 192 tokens"),
        (lambda: [Job(7, (call(),))], "id of job 7 must be a text"),
        (lambda: [Job("a", None)], "not None"),
        (lambda: [job("x")], "PlannedCall or Parallel"),
        (lambda: [job(leaving)], "PlannedCall or Parallel"),
        (lambda: [Job("a", leaving())], "SystemExit"),
        (lambda: [job(Parallel(((call(),),), enough=2))], "2 of 1 branches"),
        (lambda: [job(Parallel(((call(),),), enough=0))], "enough"),
        (lambda: [job(Parallel((call(),)))], "branch"),
        (lambda: [job(Parallel(((call(wait=-1),),)))], "wait"),
        (lambda: [job(call(), slo=math.nan)], "slo of job a"),
        (lambda: [job(call(), arrival=-3)], "arrival of job a"),
        (lambda: [job(call(), arrival="soon")], "'soon'"),
        (lambda: [job(call(), calls=-1)], "calls of job a"),
    ],
)
def test_what_can_not_be_played_is_the_sources_fault(make: Callable[[], Any], word: str) -> None:
    with pytest.raises(PartFailed, match=f"^workload Given failed at {__file__}:") as raised:
        play(make)
    assert word in str(raised.value)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda jobs: ((math.nan, one) for one in jobs), "nan"),
        (lambda jobs: ((math.inf, one) for one in jobs), "inf"),
        (lambda jobs: ((-5, one) for one in jobs), "at least 0, not -5"),
        (lambda jobs: ((9 - i, one) for i, one in enumerate(jobs)), "at least 9, not 8"),
        (lambda jobs: (("soon", one) for one in jobs), "'soon'"),
        (lambda jobs: ((one, 0.0) for one in jobs), "a job is needed"),
        (lambda jobs: ((0.0, one, 1) for one in jobs), "too many"),
        (lambda jobs: jobs, "tuple"),
        (lambda _: None, "not None"),
        (lambda _: later(), "async"),
    ],
)
def test_a_time_that_can_not_be_is_the_arrivals_fault(make: Callable[..., Any], word: str) -> None:
    with pytest.raises(PartFailed, match=f"^arrival process Timed failed at {__file__}:") as raised:
        play(lambda: [Job("a", (call(),)), Job("b", (call(),))], Timed(make))
    assert word in str(raised.value)


@pytest.mark.parametrize("most", [-1, 2.5, math.nan, "x", None])
def test_a_concurrency_that_can_not_be_is_the_arrivals_fault(most: Any) -> None:
    with pytest.raises(PartFailed, match="concurrency must be a whole number"):
        play(lambda: [job(call())], Timed(lambda jobs: ((0.0, one) for one in jobs), most))


def test_a_job_begins_once() -> None:
    with pytest.raises(UsageError, match="job a begins while another job of this id runs"):
        play(lambda: [job(call()), job(call())])
    with pytest.raises(UsageError, match="job a begins while another job of this id runs"):
        play(lambda: [job(call())], Timed(lambda jobs: ((0.0, one) for one in [*jobs, *jobs])))


def test_nothing_to_play_is_said() -> None:
    with pytest.raises(UsageError, match="workload given has no programs; change its parameters"):
        play(lambda: [])
    with pytest.raises(PartFailed, match=r"arrival process Timed failed at .* lets none of the"):
        play(lambda: [job(call())], Timed(lambda _: []))


def test_what_can_be_played_is() -> None:
    steps = (call(), Parallel(((call(),), (call(wait=2),)), enough=1), Parallel(()))
    assert play(lambda: [job(*steps, slo=9, arrival=0, calls=3), Job("b", iter(steps))]) == 2
