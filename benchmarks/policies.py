"""The shipped policies on four kinds of workload and a mix, simulated, from idle to saturation.

    python benchmarks/policies.py [SESSIONS.jsonl.gz] [--workloads agents,text_to_sql]
        [--engines 8] [--loads 0.5,2,4,8] [--leases] [--quick] [--json FILE]

| workload | engines |
|---|---|
| `agents`: recorded sessions, or generated ones if no file is given | one H100 with Llama-3.1-8B |
| `best_of_n`: 16 answers, left when 4 have ended and were judged | four H100, Llama-3.1-70B |
| `tree_search`: 16 steps a level, each judged | the same |
| `text_to_sql`: with deadlines | the same |
| `mix`: as many agents as best-of-n questions | one H100 with Llama-3.1-8B |

Sessions are the format of `weft simulate`'s `sessions` reader. Lengths are as recorded; waits, a
person's included, are cut at 10 minutes, and a session ends before its context exceeds half an
engine's KV. A load of 1 means that the live programs, were nothing ever in another's way, would on
average just fill the fleet's KV, or its time with full batches, whichever is full first. Where
there are fewer sessions than asked for they come again, with other content. `cap(k)` is run for
several k and the best of each load is shown.
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
from weft.backends.simulated.step_time import Hardware
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import Poisson
from weft.simulation.experiments.optimum import Trace
from weft.simulation.metrics import PlayMetrics, measure
from weft.simulation.play import Play
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Job, PlannedCall, Step, Workload
from weft.simulation.workloads import open_workload

BLOCK = 64
CAPS = tuple(f"cap(k={k})" for k in (4, 6, 8, 12, 16))
WORKLOADS = ("agents", "best_of_n", "tree_search", "text_to_sql", "mix")
FAN_OUTS = {  # programs of which an engine gets so many
    "best_of_n": ("best_of_n(n={n}, enough=4)", 40),
    "tree_search": ("tree_search(n={n})", 12),
    "text_to_sql": ("text_to_sql(n={n})", 60),
}
POLICIES = (
    "fcfs",
    "round_robin",
    "least_loaded",
    "sticky",
    "prefix",
    "prefix(affinity=true)",
    "thunderagent",
    "thunderagent(variant=dynamo)",
    "saga",
    "hexgen",
    "agentix",
    "agentix(variant=atlas)",
    "continuum",
    "llumnix",
    "lmetric",
    "cachewise",
    "adaptive",
    "fair",
)
QUICK = ["sticky", "prefix(affinity=true)", "continuum", "hexgen", "adaptive", "cap(k=8)"]
FULL = 256  # calls of a full batch


@dataclass(frozen=True)
class Setting:
    """What is simulated, but for policy and load.

    Attributes:
        kind: of workload.
        path: of recorded sessions; empty for generated ones.
        engines: how many.
        programs: how many for an engine, as a multiple of the usual number.
        wait_max: seconds.
        seed: of arrivals.
        leases: whether engines have leases.
    """

    kind: str
    path: str
    engines: int
    programs: float
    wait_max: float
    seed: int
    leases: bool = False

    @property
    def hardware(self) -> Hardware:
        """An engine's."""
        if self.kind in FAN_OUTS:
            return find_hardware("h100", "llama-3.1-70b", 4)
        return find_hardware("h100")

    def workload(self) -> Workload:
        """The programs, the same at each call."""
        if self.kind == "agents":
            return self._agents(self._count(20))
        if self.kind in FAN_OUTS:
            return self._fan_outs(self.kind, self._count(FAN_OUTS[self.kind][1]))
        count = self._count(10)
        agents, questions = self._agents(count), self._fan_outs("best_of_n", count)
        return Workload("mix", Alternating(agents, questions), BLOCK)

    def _count(self, each: int) -> int:
        return max(1, round(each * self.engines * self.programs))

    def _fan_outs(self, kind: str, count: int) -> Workload:
        return open_workload(FAN_OUTS[kind][0].format(n=count), block_size=BLOCK)

    def _agents(self, count: int) -> Workload:
        if not self.path:
            return open_workload(f"coding_agents(n={count})", block_size=BLOCK)
        most = self.hardware.kv_tokens // 2
        options = {"wait_max": self.wait_max, "max_tokens": most, "limit": count}
        once = open_workload(self.path, block_size=BLOCK, options=options)
        return Workload(once.name, Repeated(once, count), BLOCK)


@dataclass(frozen=True)
class Alternating:
    """Jobs of two workloads in turn."""

    first: Workload
    second: Workload

    def __iter__(self) -> Iterator[Job]:
        for pair in zip(self.first, self.second, strict=True):
            yield from pair


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
    means: dict[str, float]
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
    hardware = setting.hardware
    held = busy = jobs = 0.0
    for job in setting.workload():
        jobs += 1
        seen: set[int] = set()
        for turn in turns(job.steps):
            token = hardware.step_seconds(0, turn.prompt, 1, turn.prompt)
            held += turn.prompt * (turn.wait + turn.answer * token) / hardware.kv_tokens
            new = len({*turn.blocks[: turn.prompt // BLOCK]} - seen) * BLOCK
            seen.update(turn.blocks)
            busy += hardware.step_seconds(new, new * turn.prompt, 0, 0) if new else 0.0
            full = max(1, min(FULL, hardware.kv_tokens // turn.prompt))
            read = full * turn.prompt
            busy += turn.answer * hardware.step_seconds(0, read, full, read) / full
    return load * setting.engines * jobs / max(held, busy)


def play(policy: str, load: float, rate: float, setting: Setting) -> Row:
    """Simulate one policy under one load."""
    trace = Trace(BLOCK)
    hardware = setting.hardware
    done = simulate(
        setting.workload(),
        parse_policy(policy),
        SimulatedFleet(setting.engines, hardware, hardware.kv_tokens, BLOCK, leases=setting.leases),
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
        means(done.played),
        trace.best_hit_rate(hardware.kv_tokens) / metrics.hit_rate
        if metrics.hit_rate
        else math.inf,
        counters.forced,
        counters.longest_wait,
        counters.decisions,
        done.seconds,
        done.wall,
    )


def means(played: Play) -> dict[str, float]:
    """Mean completion by the programs' names."""
    times: dict[str, list[float]] = {}
    for job in played.jobs:
        times.setdefault(job.name, []).append(job.ended - job.arrived)
    return {name: sum(found) / len(found) for name, found in times.items()}


def best_cap(rows: list[Row]) -> list[Row]:
    """The rows, with only the best of all `cap(k)`."""
    caps = [row for row in rows if row.policy.startswith("cap(")]
    others = [row for row in rows if not row.policy.startswith("cap(")]
    return [*others, min(caps, key=lambda row: row.metrics.mean)] if caps else others


def short(seconds: float) -> str:
    """Seconds with three digits or more."""
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"


def means_by_name(row: Row) -> str:
    """The mean of each kind of program in a mix."""
    return ", ".join(f"{name} {short(mean)} s" for name, mean in sorted(row.means.items()))


def show(kind: str, load: float, rows: list[Row]) -> list[dict[str, object]]:
    """Print one load's table; its rows for --json."""
    weft = next(row for row in rows if row.policy == "weft")
    print(f"\n{kind} at load {load:g}: {weft.metrics.jobs} programs, {weft.metrics.calls} calls")
    print(
        f"{'policy':<29}{'mean s':>9}{'/weft':>7}{'p50':>8}{'p99':>9}{'/weft':>7}{'progs/h':>9}"
        f"{'in time':>8}{'tok/s':>8}{'hits':>7}{'best':>6}{'forced':>7}{'longest':>9}{'x real':>8}"
    )
    for row in sorted(rows, key=lambda row: row.metrics.mean):
        m, w = row.metrics, weft.metrics
        print(
            f"{row.policy:<29}{short(m.mean):>9}{m.mean / w.mean:>7.2f}{short(m.p50):>8}"
            f"{short(m.p99):>9}{m.p99 / w.p99:>7.2f}{m.programs_per_second * 3600:>9.1f}"
            f"{m.in_time:>8.2f}"
            f"{m.tokens_per_second:>8.0f}{m.hit_rate:>7.3f}{row.optimum:>6.2f}{row.forced:>7}"
            f"{row.longest_wait:>9,.0f}{row.seconds / row.wall:>8,.0f}",
            flush=True,
        )
        if len(row.means) > 1:
            print(f"    {means_by_name(row)}")
    peers = {row.policy: row for row in rows if row is not weft}
    of_each = [
        {
            "name": f"mean completion of {name} in {kind} at load {load:g}",
            "unit": "s",
            "better": "lower",
            "weft": weft.means[name],
            "peers": {peer: row.means[name] for peer, row in peers.items()},
        }
        for name in (weft.means if len(weft.means) > 1 else ())
    ]
    return of_each + [
        {
            "name": f"{what} of {kind} at load {load:g}",
            "unit": unit,
            "better": better,
            "weft": getattr(weft.metrics, field),
            "peers": {name: getattr(row.metrics, field) for name, row in peers.items()},
        }
        for what, unit, better, field in (
            ("mean completion", "s", "lower", "mean"),
            ("p99 completion", "s", "lower", "p99"),
            ("throughput", "programs/s", "higher", "programs_per_second"),
            ("goodput", "programs/s", "higher", "goodput"),
            ("hit rate", "1", "higher", "hit_rate"),
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", metavar="SESSIONS", nargs="?", default="")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="kinds, with commas")
    parser.add_argument("--engines", type=int, default=8)
    parser.add_argument("--programs", type=float, default=1.0, help="times the usual number")
    parser.add_argument("--loads", default="0.5,2,4,8")
    parser.add_argument("--policies", help="specs, separated by semicolons (default: all)")
    parser.add_argument("--wait-max", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--leases", action="store_true", help="engines have leases")
    parser.add_argument("--quick", action="store_true", help="few policies, one load, few programs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    kinds = given.workloads.split(",")
    if unknown := set(kinds) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    loads = [float(load) for load in given.loads.split(",")]
    names = given.policies.split(";") if given.policies else [*POLICIES, *CAPS]
    engines, programs = given.engines, given.programs
    if given.quick:
        loads, engines, programs = [2.0], 2, 0.5 * programs
        names = names if given.policies else QUICK
    names = ["weft", *(name for name in names if name != "weft")]
    print(
        f"{engines} engines, {programs:g} times the usual number of programs, waits up to "
        f"{given.wait_max:g} s, seed {given.seed}{', leases' * given.leases}"
    )
    print(
        "`/weft`: as a multiple of weft's; `in time`: share of programs that met their deadline; "
        "`best`: Belady's optimum hit rate over this one; `x real`: simulated seconds a second"
    )
    results = []
    with ProcessPoolExecutor(given.processes) as pool:
        for kind in kinds:
            setting = Setting(
                kind, given.path, engines, programs, given.wait_max, given.seed, given.leases
            )
            for load in loads:
                rate = rate_of(load, setting)
                rows = list(pool.map(play, names, repeat(load), repeat(rate), repeat(setting)))
                results += show(kind, load, best_cap(rows))
                if given.json is not None:
                    given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
