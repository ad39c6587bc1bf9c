"""The simulated engine against queues that theory knows.

The engine is compared with the recursion that defines the queue on the same draws, where they
must agree to rounding, and that recursion, on many more draws, with the closed form: the
engine itself would need a million requests to come near it.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from operator import add, sub
from statistics import fmean

import anyio
import pytest
import trio.testing

from weft.backends.simulated.engine import SimulatedEngine, SimulatedRequest
from weft.backends.simulated.hardware import Linear
from weft.backends.timeline import Timeline

RATE = 0.5  # arrivals a second; services take a second on average
GRAIN = 1e-6  # seconds of service a token

Draw = Callable[[random.Random], float]

SERVICES: dict[str, tuple[Draw, float]] = {
    # Each with its second moment, where the mean is 1.
    "exponential": (lambda r: r.expovariate(1), 2.0),
    "constant": (lambda r: 1.0, 1.0),
    "uniform": (lambda r: r.uniform(0, 2), 4 / 3),
    "hyperexponential": (lambda r: r.expovariate(4 if r.random() < 0.8 else 0.25), 6.5),
}


def draws(service: Draw, n: int, seed: int) -> tuple[list[float], list[float]]:
    """Arrivals, and services in whole grains."""
    randomly = random.Random(seed)
    arrivals: list[float] = []
    at = 0.0
    for _ in range(n):
        at += randomly.expovariate(RATE)
        arrivals.append(at)
    return arrivals, [max(1, round(service(randomly) / GRAIN)) * GRAIN for _ in range(n)]


def lindley(arrivals: Sequence[float], services: Sequence[float]) -> list[float]:
    """Waiting times of a single first-come, first-served server (Lindley 1952)."""
    waits = [0.0]
    for i in range(1, len(arrivals)):
        waits.append(max(0.0, waits[-1] + services[i - 1] - (arrivals[i] - arrivals[i - 1])))
    return waits


def shared(arrivals: Sequence[float], services: Sequence[float]) -> list[float]:
    """Times in the system of a server that is shared evenly by all who are there."""
    left: list[tuple[float, int]] = []  # by the service, had by each, at which they leave
    had = now = 0.0
    times = [0.0] * len(arrivals)
    for i, at in enumerate([*arrivals, math.inf]):
        while left and now + (left[0][0] - had) * len(left) <= at:
            end, j = heapq.heappop(left)
            now += (end - had) * (len(left) + 1)
            had = end
            times[j] = now - arrivals[j]
        if i < len(arrivals):
            had += (at - now) / len(left) if left else 0.0
            now = at
            heapq.heappush(left, (had + services[i], i))
    return times


def served(
    arrivals: Sequence[float],
    requests: Sequence[SimulatedRequest],
    hardware: Linear,
    concurrency: int,
) -> tuple[list[float], list[float], SimulatedEngine]:
    """Waiting times and times in the system of an engine, by arrival."""

    async def main() -> tuple[list[float], list[float], SimulatedEngine]:
        async with Timeline() as timeline:
            engine = SimulatedEngine(
                timeline,
                hardware,
                kv_tokens=concurrency * 10**10,
                concurrency=concurrency,
                batched_tokens=10**10,
                keep_log=True,
            )
            begun = timeline.now
            async with anyio.create_task_group() as tasks:
                for at, request in zip(arrivals, requests, strict=True):
                    await anyio.sleep(begun + at - timeline.now)
                    tasks.start_soon(engine.complete, request, lambda delta: None)
            records = sorted(engine.log, key=lambda record: int(record.id))
            waits = [(record.entered or 0.0) - record.arrived for record in records]
            return waits, [record.ended - record.arrived for record in records], engine

    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(main, backend="trio", backend_options={"clock": clock})


def request(i: int, prompt: int, answer: int) -> SimulatedRequest:
    return SimulatedRequest(str(i), "simulated", (), prompt=prompt, answer=answer)


@pytest.mark.parametrize("kind", SERVICES)
def test_one_at_a_time_is_a_single_server(kind: str) -> None:
    arrivals, services = draws(SERVICES[kind][0], 1000, seed=1)
    requests = [request(i, round(s / GRAIN), 1) for i, s in enumerate(services)]
    waits, times, engine = served(arrivals, requests, Linear(prefill_token=GRAIN), 1)
    expected = lindley(arrivals, services)
    assert max(map(abs, map(sub, waits, expected))) < 1e-6
    stays = map(add, expected, services)
    assert max(map(abs, map(sub, times, stays))) < 1e-6
    assert engine.counters.busy == pytest.approx(sum(services))
    assert engine.counters.steps == len(requests)
    assert max(waits) > 1


@pytest.mark.parametrize("kind", SERVICES)
def test_waiting_is_as_pollaczek_and_khinchine_say(kind: str) -> None:
    """M/G/1, of which M/M/1 is the exponential case: within 5%."""
    service, second_moment = SERVICES[kind]
    n = 400_000 if kind == "hyperexponential" else 150_000
    randomly = random.Random(2)
    total = wait = 0.0
    for _ in range(n):
        total += wait
        wait = max(0.0, wait + service(randomly) - randomly.expovariate(RATE))
    assert total / n == pytest.approx(RATE * second_moment / (2 * (1 - RATE)), rel=0.05)


@pytest.mark.parametrize("kind", ["exponential", "hyperexponential"])
def test_decoding_together_is_processor_sharing(kind: str) -> None:
    """Steps that take as long as they have sequences share the time evenly among them."""
    token = 0.002
    arrivals, services = draws(SERVICES[kind][0], 800, seed=3)
    answers = [1 + max(1, round(s / token)) for s in services]  # the first comes with the prompt
    requests = [request(i, 1, answer) for i, answer in enumerate(answers)]
    waits, times, engine = served(arrivals, requests, Linear(decode=token), 1000)
    assert max(waits) < 0.1  # nobody waits for more than a step
    expected = shared(arrivals, [(answer - 1) * token for answer in answers])
    assert fmean(times) == pytest.approx(fmean(expected), rel=0.01)
    assert engine.counters.most_running > 5


def test_sharing_does_not_care_how_services_vary() -> None:
    """M/G/1 with processor sharing: mean time 1 / (1 - load) for any distribution."""
    for kind in ("exponential", "hyperexponential"):
        times = shared(*draws(SERVICES[kind][0], 150_000, seed=4))
        assert fmean(times) == pytest.approx(1 / (1 - RATE), rel=0.03)
