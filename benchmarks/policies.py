"""The shipped policies on recorded agent sessions, simulated, from idle to far above saturation.

    python benchmarks/policies.py SESSIONS.jsonl.gz [--engines 8] [--loads 0.5,2,4,8] [--json FILE]

Sessions are the format of `weft simulate`'s `sessions` reader. Engines are one H100 with
Llama-3.1-8B each. Lengths are as recorded; waits, a person's included, are cut at 10 minutes,
and a session ends before its context exceeds half an engine's KV. A load of 1 means that the
contexts of all live programs, were nothing ever in another's way, would just fill the fleet's
KV on average. Where there are fewer sessions than asked for they come again, with other
content. `cap(k)` is run for several k and the best of each load is shown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from weft.backends.simulated.hardware import find_hardware
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import Poisson
from weft.simulation.experiments.optimum import Trace
from weft.simulation.metrics import PlayMetrics, measure
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Job, PlannedCall, Step, Workload
from weft.simulation.workloads import open_workload

BLOCK = 64
CAPS = tuple(f"cap(k={k})" for k in (4, 6, 8, 12, 16))
POLICIES = (
    "fcfs",
    "round_robin",
    "least_loaded",
    "sticky",
    "prefix",
    "prefix(affinity=true)",
    "thunderagent",
    "saga",
    "hexgen",
    "agentix",
    "agentix(variant=atlas)",
    "continuum",
    "llumnix",
    "lmetric",
    "fair",
)
AFFINITY = "prefix(affinity=true)"


@dataclass(frozen=True)
class Setting:
    """What is simulated, but for policy and load."""

    path: str
    engines: int
    sessions: int
    wait_max: float
    seed: int

    def workload(self) -> Workload:
        most = find_hardware("h100").kv_tokens // 2
        options = {"wait_max": self.wait_max, "max_tokens": most, "limit": self.sessions}
        once = open_workload(self.path, block_size=BLOCK, options=options)
        return Workload(once.name, Repeated(once, self.sessions), BLOCK)


@dataclass(frozen=True)
class Repeated:
    """So many jobs, the same ones again with other content if there are fewer."""

    once: Workload
    count: int

    def __iter__(self) -> Iterator[Job]:
        left = self.count
        for copy in itertools.count():
            seen = 0
            for job in self.once:
                if seen == left:
                    return
                seen += 1
                yield job if copy == 0 else again(job, copy)
            left -= seen
            if not left or not seen:
                return


def again(job: Job, copy: int) -> Job:
    """The same job with content of its own."""
    key = (copy * 0x9E3779B97F4A7C15) & (2**63 - 1)

    def other(step: Step) -> Step:
        if isinstance(step, PlannedCall):
            return replace(step, blocks=[block ^ key for block in step.blocks])
        return replace(step, branches=[[other(one) for one in b] for b in step.branches])

    return replace(job, id=f"{job.id}#{copy}", steps=[other(step) for step in job.steps])


@dataclass(frozen=True)
class Row:
    """What one policy did under one load."""

    policy: str
    load: float
    metrics: PlayMetrics
    optimum: float
    forced: int
    longest_wait: float
    decisions: int
    seconds: float
    wall: float


def turns(steps: Iterable[Step]) -> Iterator[PlannedCall]:
    """All calls among some steps."""
    for step in steps:
        if isinstance(step, PlannedCall):
            yield step
        else:
            for branch in step.branches:
                yield from turns(branch)


def rate_of(load: float, setting: Setting) -> float:
    """Programs a second at which a load of `load` arrives."""
    hardware = find_hardware("h100")
    held = jobs = 0.0
    for job in setting.workload():
        jobs += 1
        for turn in turns(job.steps):
            token = hardware.step_seconds(0, turn.prompt, 1, turn.prompt)
            held += turn.prompt * (turn.wait + turn.answer * token)
    return load * setting.engines * hardware.kv_tokens / (held / jobs)


def play(policy: str, load: float, rate: float, setting: Setting) -> Row:
    """Simulate one policy under one load."""
    trace = Trace(BLOCK)
    hardware = find_hardware("h100")
    done = simulate(
        setting.workload(),
        parse_policy(policy),
        SimulatedFleet(setting.engines, hardware, hardware.kv_tokens, BLOCK),
        Poisson(rate),
        seed=setting.seed,
        on_sent=trace.on_sent,
    )
    metrics = measure(done.played)
    assert not metrics.failed
    counters = done.counters
    return Row(
        policy,
        load,
        metrics,
        trace.best_hit_rate(hardware.kv_tokens) / metrics.hit_rate
        if metrics.hit_rate
        else math.inf,
        counters.forced,
        counters.longest_wait,
        counters.decisions,
        done.seconds,
        done.wall,
    )


def best_cap(rows: list[Row]) -> list[Row]:
    """The rows, with only the best of all `cap(k)`."""
    caps = [row for row in rows if row.policy.startswith("cap(")]
    others = [row for row in rows if not row.policy.startswith("cap(")]
    return [*others, min(caps, key=lambda row: row.metrics.mean)] if caps else others


def show(load: float, rows: list[Row]) -> list[dict[str, object]]:
    """Print one load's table; its rows for --json."""
    weft = next(row for row in rows if row.policy == "weft")
    print(f"\nload {load:g}: {weft.metrics.jobs} programs, {weft.metrics.calls} calls")
    print(
        f"{'policy':<24}{'mean s':>9}{'/weft':>7}{'p50':>8}{'p99':>9}{'/weft':>7}{'progs/h':>9}"
        f"{'tok/s':>8}{'ttft':>7}{'hits':>7}{'best':>6}{'forced':>8}{'longest':>9}{'x real':>8}"
    )
    for row in sorted(rows, key=lambda row: row.metrics.mean):
        m, w = row.metrics, weft.metrics
        print(
            f"{row.policy:<24}{m.mean:>9,.0f}{m.mean / w.mean:>7.2f}{m.p50:>8,.0f}{m.p99:>9,.0f}"
            f"{m.p99 / w.p99:>7.2f}{m.programs_per_second * 3600:>9.1f}{m.tokens_per_second:>8.0f}"
            f"{m.ttft:>7.1f}{m.hit_rate:>7.3f}{row.optimum:>6.2f}{row.forced:>8}"
            f"{row.longest_wait:>9,.0f}{row.seconds / row.wall:>8,.0f}"
        )
    peers = {row.policy: row for row in rows if row is not weft}
    return [
        {
            "name": f"{what} at load {load:g}",
            "unit": unit,
            "better": better,
            "weft": getattr(weft.metrics, field),
            "peers": {name: getattr(row.metrics, field) for name, row in peers.items()},
        }
        for what, unit, better, field in (
            ("mean completion", "s", "lower", "mean"),
            ("p99 completion", "s", "lower", "p99"),
            ("throughput", "programs/s", "higher", "programs_per_second"),
            ("hit rate", "1", "higher", "hit_rate"),
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", metavar="SESSIONS")
    parser.add_argument("--engines", type=int, default=8)
    parser.add_argument("--sessions", type=int, help="how many (default: 20 an engine)")
    parser.add_argument("--loads", default="0.5,2,4,8")
    parser.add_argument("--policies", help="specs, separated by semicolons (default: all)")
    parser.add_argument("--wait-max", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="few policies, one load")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    loads = [float(load) for load in given.loads.split(",")]
    names = given.policies.split(";") if given.policies else [*POLICIES, *CAPS]
    engines, sessions = given.engines, given.sessions or 20 * given.engines
    if given.quick:
        loads, names, engines, sessions = [4.0], [AFFINITY, "cap(k=8)"], 2, 30
    names = ["weft", *(name for name in names if name != "weft")]
    setting = Setting(given.path, engines, sessions, given.wait_max, given.seed)
    print(
        f"{engines} engines (Llama-3.1-8B on an H100, {find_hardware('h100').kv_tokens:,} tokens "
        f"of KV), up to {sessions} sessions, waits up to {given.wait_max:g} s, seed {given.seed}"
    )
    print(
        "`/weft`: as a multiple of weft's; `best`: Belady's optimum hit rate over this one; "
        "`x real`: simulated seconds a second"
    )
    results = []
    with ProcessPoolExecutor(given.processes) as pool:
        for load in loads:
            rate = rate_of(load, setting)
            rows = list(pool.map(play, names, repeat(load), repeat(rate), repeat(setting)))
            results += show(load, best_cap(rows))
            if given.json is not None:
                given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
