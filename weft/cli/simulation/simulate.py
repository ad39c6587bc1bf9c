"""weft simulate: a workload under several policies, on simulated engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import Imports, stderr, stdout
from weft.cli.simulation import options as simulated
from weft.cli.simulation.bars import Bar
from weft.errors import MissingExtra
from weft.parts.importing import import_all

if TYPE_CHECKING:
    from weft.simulation.arrivals import Arrivals
    from weft.simulation.experiments.experiment import Experiment, PolicyOutcome
    from weft.simulation.experiments.folder import SimulationFolder
    from weft.simulation.records import JobRecord


def simulate(
    workload: simulated.WorkloadText,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            "-p",
            metavar="SPEC|FILE",
            help="A policy, or a file of weft tune; weft by default. May be given several times.",
        ),
    ] = None,
    engines: simulated.EngineCount = 8,
    gpu: simulated.Gpu = "h100",
    model: simulated.ModelName = "llama-3.1-8b",
    parallel: simulated.Tensor = 1,
    kv_tokens: simulated.KvTokens = None,
    block_size: simulated.BlockSize = 64,
    concurrency: simulated.Concurrency = 256,
    leases: simulated.Leases = False,
    rate: simulated.Rates = None,
    n: simulated.Numbers = None,
    arrivals: simulated.ArrivalText = None,
    limit: simulated.Limit = None,
    scale: simulated.LengthScale = None,
    option: simulated.Options = None,
    format: simulated.TraceFormat = None,
    tenants: simulated.Tenants = 0,
    slo: simulated.Slo = None,
    belady: Annotated[
        bool, typer.Option(help="Compare hit rates with Belady's optimum on the same placement.")
    ] = True,
    seed: simulated.Seed = 0,
    imports: Imports = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep records, decisions and plots in this folder."),
    ] = None,
) -> None:
    """Simulate a fleet of engines under scheduling policies, and compare them.

    Example: weft simulate "coding_agents(n=100)" -p weft -p "cap(k=8)" --scale 0.25 -n 64
    """
    from weft.orchestrator.policy import DEFAULT
    from weft.orchestrator.policy_file import load_policy
    from weft.simulation.experiments.experiment import Experiment, conduct

    import_all(imports or [])

    simulated.check_slo(slo)
    policies = {p.spec: p for p in map(load_policy, policy or [DEFAULT])}
    fleet = simulated.fleet(
        engines, gpu, model, parallel, kv_tokens, block_size, concurrency, leases
    )
    work = simulated.workload(
        workload,
        block_size=block_size,
        seed=seed,
        limit=limit,
        scale=scale,
        options=option or [],
        format=format,
        tenants=tenants,
    )
    loads = simulated.loads(arrivals, rate or [], n or [], work, engines)
    experiment = Experiment(work, fleet, list(policies.values()), loads, seed, slo, belady)
    folder = _folder(experiment, limit, out) if out is not None else None
    outcomes: list[PolicyOutcome] = []
    try:
        with _Watched(limit, len(loads) > 1) as watched:
            for outcome in conduct(experiment, folder, watched):
                outcomes.append(outcome)  # those before an error are shown too
    finally:
        if outcomes:
            _say(outcomes, experiment)
    if folder is not None:
        _draw(folder, outcomes)
        stdout().print(f"files: {folder.path}", soft_wrap=True, markup=False)


def _folder(experiment: Experiment, limit: int | None, out: Path) -> SimulationFolder:
    from weft.cli.version import version
    from weft.simulation.experiments.folder import SimulationFolder

    runs = [(p.spec, load.spec) for p in experiment.policies for load in experiment.loads]
    what = {"weft": version(), **experiment.described(), "limit": limit}
    return SimulationFolder.create(out, what, runs)


class _Watched:
    """Shows how an experiment goes; the number of programs is known from the first run on."""

    def __init__(self, most: int | None, loads: bool) -> None:
        self._bar, self._loads = Bar(), loads
        self._total, self._count = most, 0

    def __enter__(self) -> _Watched:
        self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def begin(self, policy: str, load: Arrivals) -> None:
        self._bar.begin(f"{policy}, {load.spec}" if self._loads else policy, self._total)
        self._count = 0

    def job(self, record: JobRecord) -> None:
        self._count += 1
        self._bar.step(f"{record.ended:,.0f} s simulated")

    def end(self) -> None:
        self._total = self._count
        self._bar.end()


def _say(outcomes: list[PolicyOutcome], experiment: Experiment) -> None:
    from weft.cli.simulation.table import show

    show(outcomes, experiment)
    console = stdout()
    simulated = sum(o.metrics.seconds for o in outcomes)
    wall = sum(o.wall for o in outcomes)
    console.print(
        f"{simulated:,.0f} s simulated in {wall:,.1f} s, {simulated / max(wall, 1e-9):,.0f} times "
        "faster than real time"
    )
    for o in outcomes:
        if o.error:
            stderr().print(
                f"{o.policy}, {o.load.spec}: {o.metrics.failed} programs failed; the first: "
                f"{o.error}",
                markup=False,
            )


def _draw(folder: SimulationFolder, outcomes: list[PolicyOutcome]) -> None:
    from weft.simulation.experiments.folder import COMPLETION, TIMELINE
    from weft.simulation.experiments.plot import completion, timeline

    try:
        if len({o.load.load for o in outcomes if o.load.load is not None}) > 1:
            completion(outcomes, folder.path / COMPLETION)
        for run in folder.runs().values():
            timeline(run.calls(), "engine-0", run.path / TIMELINE)
    except MissingExtra as missing:  # the figures are there, only their pictures are not
        stderr().print(str(missing), markup=False)
