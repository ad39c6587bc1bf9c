"""The simulator against real vLLM: the same sessions, scheduled by the same policies, in both.

    python benchmarks/fidelity.py SESSIONS.jsonl.gz [--json FILE]

First the two replicas of `live.py` are measured, and a line of hardware is fitted to them; then
they and the simulator play. Both schedulers know the same: answers' lengths from experience
only. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from fitting import Observation, fit, observe
from live import BLOCK, arguments_of_sessions, compare, described, replicas, say, sessions
from real_play import BATCHED_TOKENS
from weft.backends.simulated.hardware import Linear
from weft.backends.vllm import VLLMEngine
from weft.errors import WeftError
from weft.orchestrator import Policy, parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.metrics import PlayMetrics, measure
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Job, Workload

POLICIES = ["round_robin", "sticky", "cap(k=3)", "weft"]


@dataclass(frozen=True)
class Pair:
    """One policy's figures in both worlds; `spread` is that of the real means, relative."""

    policy: Policy
    real: PlayMetrics
    simulated: PlayMetrics
    spread: float

    @property
    def off(self) -> float:
        """How much longer the simulator says programs take, relative."""
        return self.simulated.mean / self.real.mean - 1

    @property
    def points(self) -> float:
        """How many points more of the prompts it says are cached."""
        return 100 * (self.simulated.hit_rate - self.real.hit_rate)


async def fitted(engines: Sequence[VLLMEngine], rounds: int) -> Linear:
    """A line of hardware for engines that are alike, measured all at once."""
    found: list[Observation] = []

    async def one(engine: VLLMEngine) -> None:
        found.extend(await observe(engine, rounds=rounds))

    async with anyio.create_task_group() as group:
        for engine in engines:
            group.start_soon(one, engine)
    line = fit(found, "measured", engines[0].kv_tokens or 0)
    off = sorted(abs(o.predicted(line) / o.seconds - 1) for o in found)
    print(
        f"{line}\nfitted to {len(found)} observations; the line is off by {off[len(off) // 2]:.0%} "
        f"(median), {off[int(0.9 * len(off))]:.0%} (9 of 10), {off[-1]:.0%} (worst)"
    )
    return line


async def played(
    options: argparse.Namespace, engines: Sequence[VLLMEngine], jobs: Sequence[Job]
) -> list[Pair]:
    """Both worlds, one after the other."""
    policies = [parse_policy(spec) for spec in options.policy]
    arrivals = parse_arrivals("recorded")
    line = await fitted(engines, options.fit_rounds)
    real = await compare(engines, jobs, policies, arrivals, options.rounds)
    fleet = SimulatedFleet(
        len(engines),
        line,
        engines[0].kv_tokens or 0,
        BLOCK,
        engines[0].concurrency,
        BATCHED_TOKENS,
    )
    pairs: list[Pair] = []
    for policy, passes in zip(policies, real, strict=True):

        def one(policy: Policy = policy) -> PlayMetrics:
            workload = Workload("sessions", jobs, BLOCK)
            return measure(simulate(workload, policy, fleet, arrivals).played)

        simulated = await anyio.to_thread.run_sync(one)
        spread = max(passes.means) / min(passes.means) - 1
        pairs.append(Pair(policy, passes.metrics, simulated, spread))
        say(f"simulated {policy.spec}")
    return pairs


def ranking(means: Sequence[tuple[float, str]]) -> str:
    """Names from the best to the worst."""
    return " < ".join(name for _, name in sorted(means))


def swapped(pairs: Sequence[Pair]) -> list[str]:
    """Pairs of policies that the two worlds rank differently, and how far apart they are."""
    return [
        f"{a.policy.spec} and {b.policy.spec} "
        f"({b.real.mean / a.real.mean - 1:+.0%} real, "
        f"{b.simulated.mean / a.simulated.mean - 1:+.0%} simulated)"
        for a, b in itertools.combinations(pairs, 2)
        if (a.real.mean < b.real.mean) != (a.simulated.mean < b.simulated.mean)
    ]


def table(pairs: Sequence[Pair]) -> str:
    """The figures for people."""
    lines = [
        f"{'':16}{'mean completion, s':^34}{'cached':^28}",
        f"{'':16}{'real':>8}{'simulated':>11}{'off':>7}{'rounds':>8}"
        f"{'real':>9}{'simulated':>11}{'points':>8}",
    ]
    for pair in pairs:
        lines.append(
            f"{pair.policy.spec:16}{pair.real.mean:>8.1f}{pair.simulated.mean:>11.1f}"
            f"{pair.off:>+7.0%}{pair.spread:>8.0%}{pair.real.hit_rate:>9.1%}"
            f"{pair.simulated.hit_rate:>11.1%}{pair.points:>+8.1f}"
        )
    lines += [
        f"real:      {ranking([(p.real.mean, p.policy.spec) for p in pairs])}",
        f"simulated: {ranking([(p.simulated.mean, p.policy.spec) for p in pairs])}",
        f"ranked differently: {'; '.join(swapped(pairs)) or 'none'}",
        f"off by at most {max(abs(p.off) for p in pairs):.0%} in mean completion (wanted: 15%) "
        f"and {max(abs(p.points) for p in pairs):.1f} points in what is cached (wanted: 5)",
    ]
    return "\n".join(lines)


def rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """The figures as rows."""
    figures = {
        "fidelity: mean completion, worst deviation": ("share", max(abs(p.off) for p in pairs)),
        "fidelity: cached, worst deviation": ("points", max(abs(p.points) for p in pairs)),
        "fidelity: pairs ranked differently": ("count", len(swapped(pairs))),
    }
    return [
        {"name": name, "unit": unit, "better": "lower", "weft": round(value, 5), "peers": {}}
        for name, (unit, value) in figures.items()
    ]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments_of_sessions(parser)
    add = parser.add_argument
    add("--policy", nargs="+", metavar="SPEC", default=POLICIES, help="what schedules")
    add("--rounds", type=int, default=2, help="rounds on the real replicas (%(default)s)")
    add("--fit-rounds", type=int, default=3, help="rounds of measurements (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


async def main() -> None:
    options = arguments()
    jobs = sessions(options)
    async with replicas(options.engine) as engines:
        kv = sum(engine.kv_tokens or 0 for engine in engines)
        print(described(options, jobs, kv), flush=True)
        pairs = await played(options, engines, jobs)
    print(table(pairs))
    if options.json:
        options.json.write_text(json.dumps(rows(pairs), indent=2) + "\n")


if __name__ == "__main__":
    try:
        anyio.run(main)
    except WeftError as error:
        raise SystemExit(str(error)) from None
