"""weft tune: search a policy's parameters by simulation."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import Imports, stdout
from weft.cli.simulation import options as simulated
from weft.cli.simulation.bars import Bar
from weft.errors import ConfigError, UsageError
from weft.parts.importing import import_all

if TYPE_CHECKING:
    from weft.orchestrator.policy import Policy
    from weft.simulation.experiments.experiment import Experiment
    from weft.simulation.experiments.tune import Objective, Trial

WORDS = {
    "mean": "mean completion time, s",
    "p99": "p99 completion time, s",
    "goodput": "programs a second within their SLO",
}


def tune(
    workload: simulated.WorkloadText,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", "-p", metavar="SPEC|FILE", help="The policy to begin with; weft by default."
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many simulations; --policy is the first.")
    ] = 40,
    objective: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What to improve: mean or p99 completion time, or goodput."
        ),
    ] = "mean",
    engines: simulated.EngineCount = 8,
    gpu: simulated.Gpu = "h100",
    model: simulated.ModelName = "llama-3.1-8b",
    parallel: simulated.Tensor = 1,
    kv_tokens: simulated.KvTokens = None,
    block_size: simulated.BlockSize = 64,
    concurrency: simulated.Concurrency = 256,
    rate: simulated.Rates = None,
    n: simulated.Numbers = None,
    arrivals: simulated.ArrivalText = None,
    limit: simulated.Limit = None,
    scale: simulated.LengthScale = None,
    option: simulated.Options = None,
    format: simulated.TraceFormat = None,
    tenants: simulated.Tenants = 0,
    slo: simulated.Slo = None,
    seed: simulated.Seed = 0,
    imports: Imports = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The file for the policy that is found.")
    ] = Path("policy.yaml"),
) -> None:
    """Search a policy's parameters by simulation. The result is never worse than --policy.

    Example: weft tune "coding_agents(n=50)" --policy weft --scale 0.25 -n 32 --trials 20
    """
    from weft.orchestrator.policy import DEFAULT
    from weft.orchestrator.policy_file import dump_policy, load_policy
    from weft.simulation.experiments import tune as search
    from weft.simulation.experiments.experiment import Experiment

    import_all(imports or [])
    simulated.check_slo(slo)
    sought = search.objective(objective)
    fleet = simulated.fleet(engines, gpu, model, parallel, kv_tokens, block_size, concurrency)
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
    if len(loads) > 1:
        raise UsageError("weft tune takes one load; give --rate or --n once")
    begun = load_policy(policy or DEFAULT)
    experiment = Experiment(work, fleet, [begun], loads, seed, slo, optimum=False)
    _writable(out)
    done = _search(experiment, begun, sought, trials)
    best = [trial for trial in done if trial.best][-1]
    found = {
        "objective": WORDS[sought],
        "value": _rounded(best.value),
        "given": begun.spec,
        "given_value": _rounded(done[0].value),
        "trials": len(done),
        **experiment.described(),
    }
    del found["policies"]
    _write(out, dump_policy(best.policy, found))
    console = stdout()
    console.print(
        f"{WORDS[sought]}: {best.value:.4g} by trial {best.number + 1} of {len(done)}, "
        f"{done[0].value:.4g} as given",
        markup=False,
    )
    console.print(best.policy.spec, markup=False, soft_wrap=True)
    console.print(f"policy: {out}", markup=False, soft_wrap=True)


def _search(experiment: Experiment, begun: Policy, sought: Objective, trials: int) -> list[Trial]:
    from weft.simulation.experiments.experiment import conduct
    from weft.simulation.experiments.tune import tune as search
    from weft.simulation.standstill import Standstill

    with Bar() as bar:
        bar.begin(begun.name, trials)

        def measure(policy: Policy) -> float:
            tried = replace(experiment, policies=[policy])
            try:
                (outcome,) = conduct(tried, None)
            except Standstill:
                if policy is begun:
                    raise
                return math.nan
            return getattr(outcome.metrics, sought)

        best = ""

        def tell(trial: Trial) -> None:
            nonlocal best
            if trial.best:
                best = f"{WORDS[sought]}: {trial.value:.4g}"
            bar.step(best)

        done = search(
            begun,
            measure,
            trials=trials,
            largest=sought == "goodput",
            seed=experiment.seed,
            on_trial=tell,
        )
        bar.end()
    return done


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _writable(path: Path) -> None:
    """Before a long search: is there a folder to write into?"""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"can't write --out {path}; name a file in a folder that is there")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"can't write --out {path}: {e.strerror}") from None
