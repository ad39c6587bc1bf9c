"""The simulator against real vLLM: the same programs in both worlds, one after the other.

What is cached then depends on nothing but their order. How long programs take, and how policies
rank, depends on what else the machine does: `benchmarks/fidelity.py` measures that.
"""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from fitting import fit, observe
from real_play import replay
from weft.backends.simulated.step_time import Linear
from weft.backends.vllm import VLLMEngine
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.play import Play
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Workload
from weft.simulation.workloads import open_workload

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BLOCK, KV = 32, 2048
ONE_BY_ONE = "cap(k=1)"
ORDER = parse_arrivals("recorded")
SESSIONS = open_workload(
    "coding_agents(n=10, scale=0.03, max_tokens=1500, max_calls=4, wait_scale=0.01, wait_max=0.1)",
    block_size=BLOCK,
)
JOBS = [replace(job, steps=[*job.steps], arrival=i / 1000) for i, job in enumerate(SESSIONS)]
WORK = Workload("sessions", JOBS, BLOCK)


async def played(url: str) -> tuple[Play, Linear]:
    """What a real replica does, and a line of hardware fitted to it."""
    engine = VLLMEngine(url)
    await engine.connect()
    try:
        assert (engine.kv_tokens, engine.block_size) == (KV, BLOCK)
        line = fit(await observe(engine, rounds=1), "measured", KV)
        done = await replay(WORK, parse_policy(ONE_BY_ONE), [engine], ORDER)
    finally:
        await engine.aclose()
    return done.played, line


def seen(play: Play) -> dict[str, tuple[int, int, int]]:
    """Tokens of each call: of its prompt, those cached, and generated."""
    assert not [job.error for job in play.jobs if job.error]
    assert all(call.done for call in play.calls)
    return {call.id: (call.prompt, call.cached, call.answer) for call in play.calls}


def test_the_simulator_says_what_a_real_replica_does(small_replica: str) -> None:
    done, line = anyio.run(played, small_replica)
    print(line)
    fleet = SimulatedFleet(1, line, KV, BLOCK, 64)
    simulated = simulate(WORK, parse_policy(ONE_BY_ONE), fleet, ORDER).played
    real, said = seen(done), seen(simulated)
    prompts, cached = (sum(call[i] for call in real.values()) for i in (0, 1))
    print(f"{len(real)} calls, {prompts} tokens, {cached} of them cached")
    assert said == real
