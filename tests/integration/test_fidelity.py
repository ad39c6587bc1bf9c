"""The simulator against real vLLM: the same sessions and policies in both worlds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from weft.backends.local.launch import launch
from weft.backends.vllm import VLLMEngine
from weft.orchestrator.policy import Policy, parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.fitting import Observation, fit, observe
from weft.simulation.live import BATCHED_TOKENS, random_llama, replay
from weft.simulation.metrics import Metrics, measure
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Workload
from weft.simulation.workloads import open_workload

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BLOCK = 32
KV = 130 * BLOCK  # tokens of each replica; together less than the sessions hold in the end
AT_ONCE = parse_arrivals("recorded")
SESSIONS = open_workload(
    "coding_agents(n=10, scale=0.04, max_tokens=2400, max_calls=4, wait_scale=0.05, wait_max=1)",
    block_size=BLOCK,
)
# They come in the same order in both worlds.
JOBS = [replace(job, steps=[*job.steps], arrival=0.05 * i) for i, job in enumerate(SESSIONS)]
WORK = Workload("sessions", JOBS, BLOCK)


@pytest.fixture(scope="module")
def urls(countdown: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Addresses of two replicas of 34M random weights."""
    with (
        pytest.MonkeyPatch.context() as patch,
        start_blocking_portal() as portal,
    ):
        patch.setenv("WEFT_HOME", str(tmp_path_factory.mktemp("weft")))
        args = random_llama(KV, BLOCK)
        launching = launch(countdown, 2, "llama-34m", extra_args=args, on_progress=print)
        with portal.wrap_async_context_manager(launching) as replicas:
            yield [replica.url for replica in replicas]


async def played(
    urls: Sequence[str], policies: Sequence[Policy]
) -> tuple[list[Metrics], list[Observation]]:
    """What real replicas do, and how fast they are, before and afterwards."""
    engines = [VLLMEngine(url) for url in urls]
    seen: list[Observation] = []

    async def look(engine: VLLMEngine, seed: int) -> None:
        seen.extend(await observe(engine, rounds=1, seed=seed))

    try:
        for engine in engines:
            await engine.connect()
            assert (engine.kv_tokens, engine.block_size) == (KV, BLOCK)
        real: list[Metrics] = []
        for seed in (1, 2):
            async with anyio.create_task_group() as group:
                for engine in engines:
                    group.start_soon(look, engine, seed)
            if seed == 1:
                for policy in policies:
                    done = await replay(WORK, policy, engines, AT_ONCE, salt=policy.spec)
                    assert not [job.error for job in done.played.jobs if job.error]
                    real.append(measure(done.played))
        return real, seen
    finally:
        for engine in engines:
            await engine.aclose()


def test_the_simulator_says_what_real_replicas_do(urls: list[str]) -> None:
    policies = [parse_policy(spec) for spec in ("sticky", "cap(k=3)")]
    real, seen = anyio.run(played, urls, policies)
    line = fit(seen, "measured", KV)
    print(line)
    fleet = SimulatedFleet(2, line, KV, BLOCK, 64, BATCHED_TOKENS)
    said = [measure(simulate(WORK, policy, fleet, AT_ONCE).played) for policy in policies]
    for policy, a, b in zip(policies, real, said, strict=True):
        print(
            f"{policy.spec}: mean completion {a.mean:.2f} s real, {b.mean:.2f} s simulated; "
            f"cached {a.hit_rate:.1%} real, {b.hit_rate:.1%} simulated"
        )
    for a, b in zip(real, said, strict=True):
        assert b.calls == a.calls
        # Bounds for a machine that other processes share; benchmarks/fidelity.py measures.
        assert b.hit_rate == pytest.approx(a.hit_rate, abs=0.15)
        assert b.mean == pytest.approx(a.mean, rel=0.5)
    # They differ by much, and in both worlds alike.
    assert real[1].hit_rate > real[0].hit_rate + 0.1
    assert real[1].mean < real[0].mean
    assert said[1].mean < said[0].mean
