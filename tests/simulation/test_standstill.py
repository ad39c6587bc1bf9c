"""Policies under which a simulation would never end, and those that only take their time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from weft.backends.simulated.hardware import Linear
from weft.orchestrator.policy import Admission, Order, Placement, Policy, Retention
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.standstill import Standstill
from weft.simulation.workload import Job, PlannedCall, Workload

FLEET = SimulatedFleet(
    2, Linear(fixed=0.01, prefill_token=0.0001, decode=0.001, kv_tokens=4096), 4096
)
CALL = PlannedCall(128, 64, [1, 2, 3])
RESTS = PlannedCall(128, 64, [4, 5, 6], wait=5000.0)  # for longer than a lease


class First(Policy):
    name = "first"

    def place(self, call: Any, view: Any) -> Placement:
        return Placement(view.engines[0], "the first")


def refusing(refuses: Callable[..., bool], overdue: float | None = None) -> Policy:
    class Refusing(First):
        def admit(self, call: Any, engine: Any, view: Any) -> Admission:
            return Admission(not refuses(call, engine, view), "not now")

        def order(self, call: Any, view: Any) -> Order:
            return Order((), "as they come", overdue)

        def retain(self, program: Any, engine: Any, view: Any) -> Retention:
            return Retention(math.inf, "for ever")

    return Refusing()


class Filling(First):
    def place(self, call: Any, view: Any) -> Placement:
        view.engines[0].in_flight = 10**9
        return super().place(call, view)


def play(policy: Policy, *jobs: tuple[PlannedCall, ...]) -> int:
    """How many calls came to their ends."""
    work = Workload("w", [Job(f"job-{i}", steps) for i, steps in enumerate(jobs)], 64)
    done = simulate(work, policy, FLEET, parse_arrivals("burst"), lease=600)
    return sum(call.done for call in done.played.calls)


@pytest.mark.parametrize(
    ("policy", "jobs", "words"),
    [
        (refusing(lambda *_: True), [(CALL,), (CALL,)], ["2 calls waiting for ever", "'not now'"]),
        (refusing(lambda call, *_: call.arrival > 0), [(RESTS, CALL)], ["1 call waiting", "job-0"]),
        (refusing(lambda *_: True, overdue=1e300), [(CALL,)], ["1 call waiting"]),
        (Filling(), [(CALL,)], ["1000000000 calls run there"]),
    ],
    ids=["refuses all", "refuses the later", "overdue too late", "fills engines"],
)
def test_calls_that_would_wait_for_ever_end_it(
    policy: Policy, jobs: list[tuple[PlannedCall, ...]], words: list[str]
) -> None:
    with pytest.raises(Standstill, match=f"policy first keeps .*{__file__}:") as raised:
        play(policy, *jobs)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    "policy",
    [
        refusing(lambda *_: True, overdue=50_000.0),
        refusing(lambda call, *_: call.arrival == 0, overdue=3000.0),
    ],
    ids=["all are overdue in the end", "the first is overdue"],
)
def test_calls_that_wait_for_long_are_waited_for(policy: Policy) -> None:
    assert play(policy, (RESTS,), (RESTS,)) == 2


def test_claims_of_programs_that_wait_themselves_keep_nobody_out() -> None:
    policy = refusing(lambda _, engine, __: engine.claimed > engine.reserved)
    assert play(policy, (CALL, CALL), (CALL, CALL)) == 4


def test_what_rests_for_longer_than_a_lease_goes_on() -> None:
    assert play(First(), (RESTS, RESTS, CALL), (RESTS, CALL)) == 5
