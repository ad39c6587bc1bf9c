"""The options of the verbs that simulate: workload, engines and arrivals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from weft.cli.common import pairs
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.simulation.arrivals import Arrivals
    from weft.simulation.simulate import SimulatedFleet
    from weft.simulation.workload import Workload

WorkloadText = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD",
        help="A trace's file, the folder of weft run --out, or a generator such as "
        "coding_agents(n=100).",
    ),
]
EngineCount = Annotated[
    int, typer.Option("--engines", min=1, max=4096, metavar="N", help="How many engines.")
]
Gpu = Annotated[str, typer.Option(metavar="NAME", help="The GPU that each engine runs on.")]
ModelName = Annotated[
    str, typer.Option("--model", metavar="NAME", help="The model that each engine serves.")
]
Tensor = Annotated[
    int, typer.Option("--parallel", min=1, max=64, metavar="N", help="GPUs of each engine.")
]
KvTokens = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Tokens of KV of each engine; by default as GPU and model allow."
    ),
]
BlockSize = Annotated[int, typer.Option(min=1, metavar="N", help="Tokens in a block of KV.")]
Concurrency = Annotated[
    int, typer.Option(min=1, metavar="N", help="How many calls an engine runs at once at most.")
]
Leases = Annotated[
    bool,
    typer.Option(
        help="Engines keep in their cache what the scheduler claims, as vLLM does with weft's "
        "connector."
    ),
]
Rates = Annotated[
    list[float] | None,
    typer.Option(
        "--rate",
        "-r",
        metavar="X",
        help="How many programs arrive a second, at random times (poisson) unless --arrivals says "
        "otherwise. May be given several times.",
    ),
]
Numbers = Annotated[
    list[int] | None,
    typer.Option(
        "-n",
        "--n",
        metavar="N",
        help="How many programs run at once: the next begins when one ends. May be given several "
        "times.",
    ),
]
ArrivalText = Annotated[
    str | None,
    typer.Option(
        "--arrivals",
        metavar="SPEC",
        help="How programs arrive: poisson, gamma(cv=3), closed, burst or recorded. By default "
        "recorded, if the workload says when programs arrive. Otherwise closed, with 8 programs "
        "for each engine.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Seed of all that is random.")]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Take only the first N programs.")
]
LengthScale = Annotated[
    float | None,
    typer.Option(
        "--scale",
        metavar="X",
        help="A factor on all lengths in tokens; 0.25 makes prompts and answers a quarter as long.",
    ),
]
TraceFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="The workload that reads the trace's file; by default the one that knows the file's "
        "first line.",
    ),
]
Tenants = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Share the programs between this many tenants; 0 leaves tenants to the workload.",
    ),
]
Slo = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        help="Seconds in which a program should finish; those that do count for goodput.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="A parameter of the workload, such as n=50. May be given several times.",
    ),
]


def check_slo(seconds: float | None) -> None:
    """See that programs can finish in the time in which they should.

    Raises:
        UsageError: it is no time.
    """
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--slo {seconds:g} must be above 0; leave it out for none")


def workload(
    text: str,
    *,
    block_size: int,
    seed: int,
    limit: int | None,
    scale: float | None,
    options: Sequence[str],
    format: str | None,
    tenants: int,
) -> Workload:
    """The workload that is asked for.

    Raises:
        UsageError: it can't be had.
    """
    from weft.parts.spec import read_spec
    from weft.simulation.experiments.experiment import first_jobs
    from weft.simulation.workloads import is_trace, open_workload

    values = {key: _value(value) for key, value in pairs("--option", options).items()}
    if scale is not None:
        if not 0 < scale < float("inf"):
            raise UsageError(f"--scale {scale:g} must be above 0")
        values["scale"] = scale
    what: str | dict[str, Any] = text
    if values and format is None and not is_trace(Path(text).expanduser()):
        try:
            spec = read_spec(text, "workload")
            what, values = {spec.name: {**spec.values, **values}}, {}
        except UsageError:
            values = {}  # what is wrong with the text comes first
    found = open_workload(
        what, block_size=block_size, seed=seed, format=format, options=values, tenants=tenants
    )
    return first_jobs(found, limit) if limit is not None else found


def fleet(
    engines: int,
    gpu: str,
    model: str,
    parallel: int,
    kv_tokens: int | None,
    block_size: int,
    concurrency: int,
    leases: bool = False,
) -> SimulatedFleet:
    """The engines that are asked for.

    Raises:
        UsageError: the GPU or the model is not known, or the model does not fit.
    """
    from weft.backends.simulated.hardware import find_hardware
    from weft.simulation.simulate import SimulatedFleet

    hardware = find_hardware(gpu, model, parallel)
    kv_tokens = kv_tokens if kv_tokens is not None else hardware.kv_tokens
    if kv_tokens < block_size:
        raise UsageError(f"--kv-tokens {kv_tokens} is less than one block of {block_size}")
    default = SimulatedFleet(engines, hardware, kv_tokens, block_size, concurrency)
    batched = max(default.batched_tokens, concurrency)
    return replace(default, batched_tokens=batched, leases=leases)


def loads(
    spec: str | None,
    rates: Sequence[float],
    numbers: Sequence[int],
    workload: Workload,
    engines: int,
) -> list[Arrivals]:
    """How programs are to arrive: one process for each rate or number, or else one.

    Raises:
        UsageError: what is given does not go together.
    """
    from weft.simulation.arrivals import parse_arrivals

    if rates and numbers:
        raise UsageError("give --rate or --n, not both")
    name, values = ("rate", rates) if rates else ("n", numbers)
    if not values:
        if spec is None:
            first = next(iter(workload), None)
            recorded = first is not None and first.arrival is not None
            spec = "recorded" if recorded else f"closed(n={8 * engines})"
        return [parse_arrivals(spec)]
    base = parse_arrivals(spec or ("poisson" if rates else "closed"))
    if all(p.name != name for p in base.parameters()):
        raise UsageError(f"arrivals {base.name} have no {name}; leave out --{name} or --arrivals")
    return [replace(cast(Any, base), **{name: value}) for value in dict.fromkeys(values)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
