"""The options of weft eval run, each told in a line, so that all fit a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

What = Annotated[
    str, typer.Argument(metavar="SUITE.yaml|TASK|FILE", help="A suite, a task, or problems.")
]
Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", metavar="SPEC", help="A strategy, such as majority(n=8)."),
]
Engines = Annotated[
    list[str] | None,
    typer.Option("--engine", "-e", metavar="SPEC", help="An engine; see weft engines kinds."),
]
Model = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who solves, if engines serve several models.")
]
Replicas = Annotated[
    int | None, typer.Option(min=1, max=64, metavar="N", help="How many replicas local: starts.")
]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", metavar="ROLE=MODEL", help="The model of a role, such as verifier=M."),
]
Policy = Annotated[
    str | None,
    typer.Option(
        "--policy", "-p", metavar="SPEC|FILE", help="The scheduler's policy, such as cap(k=8)."
    ),
]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import", metavar="FILE.py|MODULE", help="Import this first, so its parts are known."
    ),
]
Limit = Annotated[int | None, typer.Option(metavar="N", help="How many problems to run.")]
Repeats = Annotated[int | None, typer.Option(metavar="K", help="How often each problem is asked.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of problems and sampling.")]
Sampling = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="A setting, such as top_k=20.")
]
Budget = Annotated[
    str | None, typer.Option(metavar="LIMITS", help="Of a sample: tokens=N,calls=N,seconds=S.")
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Most samples under way at once.")
]
MaxErrors = Annotated[
    str | None, typer.Option(metavar="N|N%|all", help="A strategy ends that has more; 10% of all.")
]
Retries = Annotated[
    int | None, typer.Option(metavar="K", help="Try what failed up to K times more.")
]
OnError = Annotated[
    str | None,
    typer.Option(metavar="again|wrong", help="Whether what still fails counts as wrong."),
]
Check = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Of calls, asked of a second engine and compared."),
]
Batch = Annotated[
    bool | None,
    typer.Option("--batch", help="Send calls by the endpoint's batches; openai: engines."),
]
Priority = Annotated[
    int | None, typer.Option(metavar="N", help="Lower goes before other runs; 0 by default.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="For results; eval-TASK unless given.")
]
Store = Annotated[
    str | None, typer.Option(metavar="FILE|URL", help="Where results of calls are kept.")
]
Moved = Annotated[
    bool, typer.Option("--moved", help="Go on though the addresses of engines changed.")
]
