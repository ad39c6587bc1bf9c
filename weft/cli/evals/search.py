"""weft eval search: which pipeline of components is best for a task."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli.common import budget_values, go, pairs, stderr, stdout
from weft.cli.evals import options
from weft.errors import UnknownName, UsageError
from weft.parts.importing import import_all

if TYPE_CHECKING:
    from weft.evals.studies.pipelines import FoundPipeline


def search(
    what: options.What,
    trials: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Pipelines that each search tries.")
    ] = 12,
    part: Annotated[
        float,
        typer.Option("--slice", metavar="SHARE", help="Of the problems, on which they are tried."),
    ] = 0.2,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A search: tpe, greedy or random; all by default."),
    ] = None,
    strategy: options.Strategies = None,
    engine: options.Engines = None,
    model: options.Model = None,
    replicas: options.Replicas = None,
    role: options.Roles = None,
    imports: options.Imports = None,
    limit: options.Limit = None,
    seed: options.Seed = None,
    budget: options.Budget = None,
    concurrency: options.Concurrency = None,
    out: options.Out = None,
    store: options.Store = None,
    moved: options.Moved = False,
) -> None:
    """Search the pipeline (see `weft strategies archon`) that is best for a task.

    Pipelines are tried on a slice of the problems. What each search found, and the strategies that
    are given, are then run on the rest, which decides. The same command goes on where it ended.

    Example: weft eval search countdown -s "majority(n=8)" --limit 100 --trials 20
    """
    from weft.cli.evals.asked import overlaid, title
    from weft.cli.evals.progress import shown
    from weft.cli.evals.verbs import recorded
    from weft.cli.version import version
    from weft.evals.running.session import open_suite
    from weft.evals.studies.choosing import SEARCHES
    from weft.evals.studies.pipelines import search_pipelines

    import_all(imports or [])
    for name in by or []:
        if name not in SEARCHES:
            raise UnknownName("search", name, SEARCHES)
    if not 0 < part < 1:
        raise UsageError(f"--slice {part:g} must be above 0 and below 1")
    given: dict[str, Any] = {
        "strategies": strategy or ["greedy", "majority"],
        "engine": engine,
        "model": model,
        "replicas": replicas,
        "roles": pairs("--role", role) if role else None,
        "limit": limit,
        "seed": seed,
        "budget": budget_values(budget) or None,
        "concurrency": concurrency,
    }
    suite = overlaid(what, {k: v for k, v in given.items() if v is not None})
    if suite.by_part() or suite.sweep:
        raise UsageError("a search is of one model and without a sweep; leave these out")
    folder = out if out is not None else Path(f"search-{title(what, suite)}")
    console = stderr()
    with shown(console.is_terminal, lambda t: console.print(t, markup=False)) as view:

        async def run() -> list[FoundPipeline]:
            async with open_suite(
                suite,
                folder,
                store=store,
                moved=moved,
                command=recorded(sys.argv[1:]),
                version=version(),
                on_progress=view.say,
            ) as opened:
                return await search_pipelines(
                    opened,
                    view,
                    trials=trials,
                    part=part,
                    by=list(dict.fromkeys(by or SEARCHES)),
                    on_found=view.say,
                )

        found = go(run)
    _print(found)
    stdout().print(f"report: {folder / 'report.html'}", soft_wrap=True, markup=False)


def _print(found: list[FoundPipeline]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        box=None,
        header_style="bold",
        caption="slice: the problems on which pipelines were tried, where the best of many looks "
        "better than it is; rest: those that no search has seen, which decide",
        caption_justify="left",
    )
    table.add_column("search")
    table.add_column("pipeline", overflow="fold")
    for name in ("tried", "slice, %", "rest, %", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        name = "given" if one.by.startswith("given: ") else one.by
        shares = (str(one.slice), str(one.rest))
        table.add_row(name, escape(one.spec), str(one.trials), *shares, f"{one.tokens:.0f}")
    stdout().print(table)
