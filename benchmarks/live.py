"""weft's policy against others on two real vLLM replicas, with recorded agent sessions.

    python benchmarks/live.py SESSIONS.jsonl.gz [--quick] [--json FILE]

The replicas serve a Llama of 34M random weights on a CPU, with blocks of 32 tokens and 8288
tokens of KV each. Sessions are replayed as a program would run them: each call holds the
answers that the engine really gave, and comes when the recorded tool, or person, is done.
What of it is scaled is printed above the figures; waits are a tenth of the recorded ones, as
an unhindered call takes about a tenth of the recorded 6.5 s (median) here.

Two loads: all sessions at once, when their contexts are larger than the KV, and a few at once,
when they are not. In each round every policy plays the same sessions, in turn; every second
round goes backwards. Of policies with one name, those that the first round shows to be far from
the best are left out later.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from real_play import random_llama, replay
from weft.backends.local.launch import launch
from weft.backends.local.shipped import shipped_model
from weft.backends.vllm import VLLMEngine
from weft.errors import WeftError
from weft.orchestrator import Policy, parse_policy
from weft.simulation.arrivals import Arrivals, parse_arrivals
from weft.simulation.metrics import PlayMetrics, measure
from weft.simulation.play import Play
from weft.simulation.workload import Job, PlannedCall, Workload
from weft.simulation.workloads import open_workload

BLOCK = 32
KV = 259 * BLOCK  # tokens of each replica
CONTEXT = 4096
GAP = 0.05  # seconds between sessions that begin at once: everywhere they come in one order
POLICIES = ["weft", "round_robin", "sticky", "prefix", *(f"cap(k={k})" for k in range(2, 9))]
QUICK = ["weft", "round_robin", "sticky"]


def say(text: str) -> None:
    """Tell how it goes."""
    print(text, file=sys.stderr, flush=True)


@asynccontextmanager
async def replicas(urls: Sequence[str]) -> AsyncIterator[list[VLLMEngine]]:
    """The given engines, or two replicas for the time of the block; connected."""
    if urls:
        async with connected(urls) as engines:
            yield engines
        return
    model = shipped_model("countdown")
    if model is None:
        raise SystemExit("the package has no countdown model; give --engine twice")
    args = random_llama(KV, BLOCK, CONTEXT)
    async with (
        launch(model, 2, "llama-34m", extra_args=args, on_progress=say) as started,
        connected([replica.url for replica in started]) as engines,
    ):
        yield engines


@asynccontextmanager
async def connected(urls: Sequence[str]) -> AsyncIterator[list[VLLMEngine]]:
    """Engines for the time of the block."""
    engines = [VLLMEngine(url, name=f"engine-{i}") for i, url in enumerate(urls)]
    try:
        for engine in engines:
            await engine.connect()
        yield engines
    finally:
        for engine in engines:
            await engine.aclose()


def arguments_of_sessions(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what is replayed."""
    add = parser.add_argument
    add("path", help="sessions of coding agents, one JSON object a line")
    add("--sessions", type=int, default=16, help="how many (%(default)s)")
    add("--calls", type=int, default=10, help="of each session, from its first (%(default)s)")
    add("--scale", type=float, default=0.055, help="factor on lengths (%(default)s)")
    add("--wait-scale", type=float, default=0.1, help="factor on waits (%(default)s)")
    add("--wait-max", type=float, default=4.0, help="longest wait, s (%(default)s)")
    add("--seed", type=int, default=0, help="which sessions (%(default)s)")
    add("--engine", action="append", default=[], metavar="URL", help="a running vLLM server")


def sessions(options: argparse.Namespace, context: int = CONTEXT) -> list[Job]:
    """The sessions to replay: drawn from those with enough calls, no sub-agents, that fit."""
    found = open_workload(
        options.path,
        block_size=BLOCK,
        options={
            "scale": options.scale,
            "wait_scale": options.wait_scale,
            "wait_max": options.wait_max,
            "max_tokens": context - 1,
            "max_calls": options.calls,
        },
    )
    fit: list[Job] = []
    for job in found:
        steps = tuple(job.steps)
        if len(steps) == options.calls and all(isinstance(step, PlannedCall) for step in steps):
            fit.append(replace(job, steps=steps))
    if len(fit) < options.sessions:
        raise SystemExit(
            f"{options.path} has {len(fit)} sessions with {options.calls} calls that fit into "
            f"{context} tokens; ask for fewer --sessions or --calls, or a smaller --scale"
        )
    drawn = random.Random(f"sessions:{options.seed}").sample(fit, options.sessions)
    return [replace(job, arrival=GAP * i) for i, job in enumerate(drawn)]


def turns(jobs: Sequence[Job]) -> list[list[PlannedCall]]:
    """The turns of each job."""
    return [[step for step in job.steps if isinstance(step, PlannedCall)] for job in jobs]


def described(options: argparse.Namespace, jobs: Sequence[Job], kv: int) -> str:
    """What is replayed, and how it is scaled."""
    contexts = sorted(t[-1].prompt + t[-1].answer for t in turns(jobs))
    first = sorted(t[0].prompt for t in turns(jobs))
    answers = sorted(turn.answer for t in turns(jobs) for turn in t)
    waits = [sum(turn.wait for turn in t) for t in turns(jobs)]
    return (
        f"{len(jobs)} sessions of {Path(options.path).name}, the first {options.calls} calls of "
        f"each; lengths x {options.scale:g}, waits x {options.wait_scale:g} and at most "
        f"{options.wait_max:g} s.\nFirst prompts of {first[0]} to {first[-1]} tokens, contexts "
        f"at the end of {contexts[0]} to {contexts[-1]}, in sum {sum(contexts) / kv:.2f} x the KV "
        f"of the replicas; answers of {answers[len(answers) // 2]} tokens (median) to "
        f"{answers[-1]}; {sum(waits) / len(waits):.1f} s of waits a session."
    )


@dataclass
class Passes:
    """What the passes of one policy under one load gave."""

    policy: Policy
    played: Play = field(default_factory=Play)
    means: list[float] = field(default_factory=list[float])

    def add(self, played: Play) -> PlayMetrics:
        if wrong := next((job.error for job in played.jobs if job.error), None):
            raise SystemExit(f"a session failed under {self.policy.spec}: {wrong}")
        self.played.jobs += played.jobs
        self.played.calls += played.calls
        metrics = measure(played)
        self.means.append(metrics.mean)
        return metrics

    @property
    def metrics(self) -> PlayMetrics:
        """Of all passes; throughput and time in all are not to be used."""
        return measure(self.played)


async def compare(
    engines: Sequence[VLLMEngine],
    jobs: Sequence[Job],
    policies: Sequence[Policy],
    arrivals: Arrivals,
    rounds: int,
) -> list[Passes]:
    """Play the sessions under all policies, in turn."""
    passes = [Passes(policy) for policy in policies]
    workload = Workload("sessions", jobs, BLOCK)
    for turn in range(rounds):
        going_on = passes if turn == 0 else promising(passes)
        for one in going_on if turn % 2 == 0 else reversed(going_on):
            # A salt of its own: nobody finds in the caches what others have left there.
            salt = f"{one.policy.spec}:{arrivals.spec}:{turn}:{random.random()}"
            done = await replay(workload, one.policy, engines, arrivals, salt=salt)
            metrics = one.add(done.played)
            say(
                f"round {turn + 1}, {arrivals.spec}, {one.policy.spec}: mean {metrics.mean:.1f} s, "
                f"{metrics.hit_rate:.1%} cached, {metrics.seconds:.0f} s in all"
            )
    return passes


def promising(passes: Sequence[Passes]) -> list[Passes]:
    """Those that may yet be the best of their name: at most a fifth worse than it is now."""
    least = {one.policy.name: one.metrics.mean for one in best(passes)[1:]}
    return [passes[0], *(o for o in passes[1:] if o.metrics.mean <= 1.2 * least[o.policy.name])]


def best(passes: Sequence[Passes]) -> list[Passes]:
    """The first, and of the others with one name that with the least mean."""
    ours, *others = passes
    found: dict[str, Passes] = {}
    for one in others:
        known = found.setdefault(one.policy.name, one)
        if one.metrics.mean < known.metrics.mean:
            found[one.policy.name] = one
    return [ours, *found.values()]


def table(passes: Sequence[Passes]) -> str:
    """The figures for people; gains are the others' mean completion over ours."""
    kept = best(passes)
    ours = kept[0]
    lines = [f"{'':16}{'mean':>8}{'p50':>8}{'p99':>8}{'cached':>9}{'gain of':>10}{'by round':>14}"]
    lines.append(f"{'':16}{'s':>8}{'s':>8}{'s':>8}{'':>9}{ours.policy.name:>10}")
    for one in passes:
        m = one.metrics
        by_round = [b / a for a, b in zip(ours.means, one.means, strict=False)]
        line = f"{one.policy.spec:16}{m.mean:>8.1f}{m.p50:>8.1f}{m.p99:>8.1f}{m.hit_rate:>9.1%}"
        if one is not ours:
            span = f"{min(by_round):.2f} - {max(by_round):.2f}"
            line += f"{m.mean / ours.metrics.mean:>9.2f}x{span:>14}"
            line += "" if one in kept else "   (not the best of its kind)"
        lines.append(line)
    return "\n".join(lines)


FIGURES = {
    "mean": ("mean completion", "s", "lower"),
    "p50": ("p50 completion", "s", "lower"),
    "p99": ("p99 completion", "s", "lower"),
    "hit_rate": ("prompt tokens cached", "share", "higher"),
}


def rows(load: str, passes: Sequence[Passes]) -> list[dict[str, Any]]:
    """The figures as rows."""
    ours, *others = best(passes)
    return [
        {
            "name": f"{load}: {name}",
            "unit": unit,
            "better": better,
            "weft": round(getattr(ours.metrics, figure), 5),
            "peers": {o.policy.spec: round(getattr(o.metrics, figure), 5) for o in others},
        }
        for figure, (name, unit, better) in FIGURES.items()
    ]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments_of_sessions(parser)
    add = parser.add_argument
    add("--policy", nargs="+", metavar="SPEC", help="the first is compared with the others")
    add("--rounds", type=int, default=2, help="rounds (%(default)s)")
    add("--at-once", type=int, default=4, help="sessions at once when KV is ample (%(default)s)")
    add("--quick", action="store_true", help="12 sessions of 3 calls, one load and round")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.calls, options.rounds = 12, 3, 1
        options.scale, options.at_once = 0.1, 0
    options.policy = options.policy or (QUICK if options.quick else POLICIES)
    return options


async def main() -> None:
    options = arguments()
    policies = [parse_policy(spec) for spec in options.policy]
    jobs = sessions(options)
    found: list[dict[str, Any]] = []
    async with replicas(options.engine) as engines:
        kv = sum(engine.kv_tokens or 0 for engine in engines)
        print(described(options, jobs, kv))
        passes = await compare(engines, jobs, policies, parse_arrivals("recorded"), options.rounds)
        print(f"\nall {len(jobs)} sessions at once\n{table(passes)}", flush=True)
        found += rows("oversubscribed", passes)
        if options.at_once:
            few = parse_arrivals({"closed": {"n": options.at_once}})
            kept = [one.policy for one in best(passes)]
            half = jobs[: max(options.at_once, len(jobs) // 2)]
            passes = await compare(engines, half, kept, few, options.rounds)
            print(f"\n{len(half)} sessions, {options.at_once} at once\n{table(passes)}")
            found += rows("ample", passes)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    try:
        anyio.run(main)
    except WeftError as error:
        raise SystemExit(str(error)) from None
