"""weft eval sweep: strategies under every combination of some settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from weft.cli.common import pairs, stdout
from weft.cli.evals import options
from weft.errors import UsageError
from weft.parts.importing import import_all


def sweep(
    what: options.What,
    over: Annotated[
        list[str] | None,
        typer.Option(
            "--over",
            metavar="SETTING=VALUES",
            help="A setting and its values: temperature=0.4,0.8.",
        ),
    ] = None,
    strategy: options.Strategies = None,
    engine: options.Engines = None,
    model: options.Model = None,
    replicas: options.Replicas = None,
    role: options.Roles = None,
    imports: options.Imports = None,
    limit: options.Limit = None,
    repeats: options.Repeats = None,
    seed: options.Seed = None,
    concurrency: options.Concurrency = None,
    max_errors: options.MaxErrors = None,
    out: options.Out = None,
    store: options.Store = None,
    moved: options.Moved = False,
) -> None:
    """Run strategies under every combination of settings, and say what each setting changes.

    Settings are parameters of the strategies, such as temperature, n and verifier, and for every
    strategy prompt, top_p, effort, role and tokens. With --over tokens=N all spend at most N a
    problem. Only what spent the same is compared. The same command goes on where it ended.

    Example: weft eval sweep q.jsonl -s "best_of_n(n=64)" --over tokens=2000 --over top_p=0.9,1
    """
    from weft.cli.evals.asked import overlaid, title
    from weft.cli.evals.table import show as show_table
    from weft.cli.evals.verbs import evaluate
    from weft.evals.suites.grid import read_axis

    import_all(imports or [])
    axes = [read_axis(text) for text in over or []]
    if len(dict(axes)) < len(axes):
        raise UsageError("--over names a setting twice; give all of its values at once")
    given: dict[str, Any] = {
        "sweep": dict(axes) or None,
        "strategies": strategy,
        "engine": engine,
        "model": model,
        "replicas": replicas,
        "roles": pairs("--role", role) if role else None,
        "limit": limit,
        "repeats": repeats,
        "seed": seed,
        "concurrency": concurrency,
        "max_errors": max_errors,
    }
    suite = overlaid(what, {k: v for k, v in given.items() if v is not None})
    if not suite.sweep:
        raise UsageError(f"{what} has no sweep; give --over SETTING=VALUES, or a block `sweep`")
    if suite.by_part():
        raise UsageError("a sweep is of one task and one model; give --model, or sweep over role")
    folder = out if out is not None else Path(f"sweep-{title(what, suite)}")
    show_table(evaluate(suite, folder, store, moved=moved))
    stdout().print(f"report: {folder / 'report.html'}", soft_wrap=True, markup=False)
