"""Where the default policy sends the calls of a fan-out."""

from __future__ import annotations

import pytest

from weft.backends.simulated.hardware import find_hardware
from weft.orchestrator import parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.metrics import PlayMetrics, measure
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workloads import open_workload


def figures(workload: str, policy: str, arrivals: str, engines: int = 2) -> PlayMetrics:
    work = open_workload(workload, block_size=64, seed=1)
    fleet = SimulatedFleet(engines=engines, hardware=find_hardware("h100"), kv_tokens=200_000)
    done = simulate(work, parse_policy(policy), fleet, parse_arrivals(arrivals), seed=1)
    return measure(done.played)


@pytest.mark.parametrize("rate", [2, 20])
def test_what_goes_on_from_an_answer_goes_where_the_answer_is_cached(rate: int) -> None:
    """Siblings fill several engines when these are busy; verdicts find their answers still."""
    found = figures("best_of_n(n=40, width=16)", "weft", f"poisson(rate={rate})")
    # Nothing is computed twice but a question on a second engine, and ends of blocks.
    assert found.hit_rate > 0.9


def test_one_large_fan_out_fills_the_fleet() -> None:
    """A program stays where its prompt is cached only while others are not far less busy."""
    spread = figures("best_of_n(n=2, width=300)", "weft", "closed(n=1)", engines=4)
    stuck = figures("best_of_n(n=2, width=300)", "sticky", "closed(n=1)", engines=4)
    assert spread.mean < 0.8 * stuck.mean
