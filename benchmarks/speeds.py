"""weft beside caps that were tuned by hand, in simulated engines of several speeds.

    python benchmarks/speeds.py SESSIONS.jsonl.gz [--quick] [--json FILE]

The setting of `benchmarks/sessions.py`: recorded sessions, all at once, on two engines whose KV
holds less than half of their contexts. The engines are simulated: the CPU line `cpu34m`, with all
its times multiplied by a factor. How many sessions an engine should run at a time depends on how
dear it is to compute a context again, and so on that factor. Each draw takes other sessions.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from live import BLOCK, KV, arguments_of_sessions, described, sessions
from weft.backends.simulated.hardware import CPU34M, Linear
from weft.errors import WeftError
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.metrics import PlayMetrics, measure
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Job, Workload

BATCHED_TOKENS = 2048
OURS = "weft"
RIVALS = ["cap(k=2)", "cap(k=3)", "cap(k=4)", "cap(k=5)", "adaptive"]


def slowed(factor: float) -> Linear:
    """The CPU line, with all its times multiplied."""
    line = CPU34M
    return replace(
        line,
        fixed=line.fixed * factor,
        prefill_token=line.prefill_token * factor,
        prompt=line.prompt * factor,
        decode=line.decode * factor,
    )


def play(jobs: list[Job], spec: str, factor: float) -> PlayMetrics:
    """The sessions under a policy, in virtual time."""
    fleet = SimulatedFleet(2, slowed(factor), KV, BLOCK, 256, BATCHED_TOKENS)
    workload = Workload("sessions", jobs, BLOCK)
    return measure(simulate(workload, parse_policy(spec), fleet, parse_arrivals("recorded")).played)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments_of_sessions(parser)
    add = parser.add_argument
    add("--factors", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="(%(default)s)")
    add("--draws", type=int, default=10, help="of sessions, from --seed on (%(default)s)")
    add("--policy", nargs="+", default=RIVALS, metavar="SPEC", help="beside weft (%(default)s)")
    add("--quick", action="store_true", help="two draws")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.quick:
        options.draws = 2
    return options


def main() -> None:
    """Print a table for each factor."""
    options = arguments()
    first, draws = options.seed, []
    for seed in range(first, first + options.draws):
        options.seed = seed
        draws.append(sessions(options))
    print(f"the first of {len(draws)} draws: {described(options, draws[0], 2 * KV)}")
    rows: list[dict[str, Any]] = []
    for factor in options.factors:
        print(f"\ntimes x {factor:g}\n{'policy':16}{'mean, s':>9}{'/weft':>7}{'cached':>8}")
        means: dict[str, float] = {}
        for spec in [OURS, *options.policy]:
            found = [play(jobs, spec, factor) for jobs in draws]
            means[spec] = fmean(one.mean for one in found)
            hits = fmean(one.hit_rate for one in found)
            ratio = means[spec] / means[OURS]
            print(f"{spec:16}{means[spec]:>9.1f}{ratio:>7.2f}{hits:>8.1%}", flush=True)
        peers = {spec: round(mean, 4) for spec, mean in means.items() if spec != OURS}
        name = f"sessions at once, times x {factor:g}: mean completion"
        ours = round(means[OURS], 4)
        rows.append({"name": name, "unit": "s", "better": "lower", "weft": ours, "peers": peers})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except WeftError as error:
        raise SystemExit(str(error)) from None
