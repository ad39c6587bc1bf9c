"""Causes of misses and waits, injected on simulated engines: each is named."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest
import trio.testing

from explained import MISSES, WAITS, Injector, Named, inject
from weft.backends.simulated.engine import SimulatedEngine
from weft.backends.simulated.hardware import Linear
from weft.backends.timeline import Timeline
from weft.orchestrator.policy import parse_policy

LINES = Linear(fixed=0.01, prefill_token=0.0001, decode=0.001, kv_tokens=64 * 32)


def named(*causes: str, leases: bool = True) -> list[Named]:
    """What is said of two of each."""

    async def main() -> list[Named]:
        async with Timeline() as timeline:
            engines = [
                SimulatedEngine(
                    timeline, LINES, name=f"e{i}", block_size=32, concurrency=2, leases=leases
                )
                for i in range(2)
            ]
            injector = Injector(engines, 32, 64)
            return await inject(injector, causes, 2, parse_policy("fcfs"))

    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(main, backend="trio", backend_options={"clock": clock})


@pytest.mark.parametrize("cause", [one for one in (*MISSES, *WAITS) if one != "sibling"])
def test_a_cause_is_named(cause: str) -> None:
    found = named(cause)
    assert Counter(one.said for one in found) == {cause: 2}, found


def test_who_is_to_blame_is_named() -> None:
    words = named("evicted", leases=False)[0].words
    assert words[0].startswith("288 tokens were evicted by n")
