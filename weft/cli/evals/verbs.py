"""weft eval: run evaluations, show and compare them."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli.common import (
    CommandGroup,
    budget_values,
    complain,
    go,
    pairs,
    stderr,
    stdout,
)
from weft.cli.evals import asked, economics, kept, options
from weft.cli.evals.search import search
from weft.cli.evals.sweep import sweep
from weft.cli.evals.watch import watch
from weft.errors import UsageError, WeftError
from weft.parts.importing import import_all

if TYPE_CHECKING:
    from collections.abc import Collection

    from weft.evals.records.row import RowKey
    from weft.evals.results import Evaluation
    from weft.evals.suites.suite import Suite

_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s/?]+@")

app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Run evaluations, show and compare them."
)


@app.command("run")
def run(
    what: options.What,
    strategy: options.Strategies = None,
    engine: options.Engines = None,
    model: options.Model = None,
    replicas: options.Replicas = None,
    role: options.Roles = None,
    policy: options.Policy = None,
    imports: options.Imports = None,
    limit: options.Limit = None,
    repeats: options.Repeats = None,
    seed: options.Seed = None,
    sampling: options.Sampling = None,
    budget: options.Budget = None,
    concurrency: options.Concurrency = None,
    max_errors: options.MaxErrors = None,
    retries: options.Retries = None,
    on_error: options.OnError = None,
    check: options.Check = None,
    batch: options.Batch = None,
    priority: options.Priority = None,
    out: options.Out = None,
    store: options.Store = None,
    moved: options.Moved = False,
) -> None:
    """Run strategies on a task. Samples that are finished are never run again.

    Options overrule the suite's file. A task's spec alone runs the suite that weft has for it.
    Strategies, engines, roles, imports and settings of sampling may be given several times.

    Example: weft eval run countdown -s "majority(n=8)" --limit 50 --out results
    """
    import_all(imports or [])
    given: dict[str, Any] = {
        "strategies": strategy,
        "engine": engine,
        "model": model,
        "replicas": replicas,
        "roles": pairs("--role", role) if role else None,
        "policy": policy,
        "limit": limit,
        "repeats": repeats,
        "seed": seed,
        "sampling": asked.settings("--sampling", sampling) if sampling else None,
        "budget": budget_values(budget) or None,
        "concurrency": concurrency,
        "max_errors": max_errors,
        "retries": retries,
        "on_error": on_error,
        "check": check,
        "batch": batch,
        "priority": priority,
    }
    suite = asked.overlaid(what, {k: v for k, v in given.items() if v is not None})
    folder = out if out is not None else Path(f"eval-{asked.title(what, suite)}")
    parts = suite.by_part()
    if parts:
        _run_parts(parts, folder, store, moved=moved)
    else:
        _run(suite, folder, store, moved=moved)


def _run(
    suite: Suite, folder: Path, store: str | None, *, moved: bool, several: bool = False
) -> None:
    from weft.cli.evals.table import show as show_table

    show_table(evaluate(suite, folder, store, moved=moved, several=several))
    stdout().print(f"report: {folder / 'report.html'}", soft_wrap=True, markup=False)


def _run_parts(parts: dict[str, Suite], folder: Path, store: str | None, *, moved: bool) -> None:
    """Run each task with each model; one that fails does not keep the next from being run.

    Models are compared with the first one of the same task that came to its end.
    """
    failed: list[tuple[str, WeftError]] = []
    first: dict[str, Path] = {}
    compared: list[tuple[Path, Path]] = []
    for name, part in parts.items():
        try:
            _run(part, folder / name, store, moved=moved, several=True)
        except WeftError as e:
            failed.append((name, e))
        else:
            base = first.setdefault(part.task, folder / name)
            compared += [(base, folder / name)] if base != folder / name else []
    for pair in compared:
        compare(*pair)
    for name, error in failed[:-1]:
        complain(f"{folder / name}: {error}")
    if failed:
        name, error = failed[-1]
        raise UsageError(f"{folder / name}: {error}") from error


def recorded(arguments: list[str]) -> str:
    """A command for the record, without the passwords of URLs."""
    return shlex.join(["weft", *(_PASSWORD.sub(r"\1***@", text) for text in arguments)])


def evaluate(
    suite: Suite,
    out: Path,
    store: str | None = None,
    *,
    kept: bool = True,
    moved: bool = False,
    several: bool = False,
    only: Collection[RowKey] | None = None,
) -> Evaluation:
    """Run a suite and show how it goes.

    Args:
        suite: what to run.
        out: the folder for results.
        store: the file or URL for results of calls.
        moved: whether the engines are those of before at other addresses.
        only: strategies, and samples with repeats, to run of it; all if None.
        several: whether other models are run beside, so that their engines may be left out.
        kept: whether the folder will still be there when this is interrupted.
    """
    from weft.cli.evals.progress import shown
    from weft.cli.version import version
    from weft.evals.running.session import finished, run_suite

    console = stderr()
    command = recorded(sys.argv[1:])
    try:
        with shown(console.is_terminal, lambda t: console.print(t, markup=False)) as view:
            return go(
                lambda: run_suite(
                    suite,
                    out,
                    view,
                    store=store,
                    moved=moved,
                    several=several,
                    command=command,
                    version=version(),
                    only=only,
                    on_progress=view.say,
                )
            )
    except KeyboardInterrupt:
        if not kept:
            raise
        complain(
            f"interrupted; {finished(out)} finished samples are kept in {out}, and the same "
            "command goes on from there"
        )
        raise typer.Exit(130) from None


_VERBS = (
    *(kept.show, kept.rescore, kept.retry, kept.merge, kept.export, watch, sweep, search),
    *(economics.frontier, economics.runtime),
)
for verb in _VERBS:
    app.command(verb.__name__)(verb)


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR", help="An evaluation's folder.")],
    second: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The folder of another evaluation of the same task."),
    ],
) -> None:
    """Compare two evaluations on the problems that both have.

    Strategies with the same spec are compared. If each evaluation has only one strategy, these
    two are compared. A difference is the second less the first, paired by problem.

    Example: weft eval compare results-a results-b
    """
    from weft.evals.reports.compare import compared

    print_comparison(compared(first, second), first, second)


def print_comparison(rows: list[Any], first: Path, second: Path) -> None:
    """Print the table of a comparison."""
    from rich.table import Table

    from weft.evals.reports.comparisons import TO_SEE, notes

    table = Table(box=None, header_style="bold", caption_justify="left", caption=(
        f"{second} less {first}: {notes(rows[0].accuracy.family)}"
    ))  # fmt: skip
    table.add_column("strategy", overflow="fold")
    for name in (
        "pairs", "first, %", "second, %", "difference, points", "p", TO_SEE,
        "tokens", "verdict",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row.cells())
    stdout().print(table)
