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
from weft.cli.evals import economics, kept, options
from weft.cli.evals.search import search
from weft.cli.evals.sweep import sweep
from weft.cli.evals.watch import watch
from weft.errors import UsageError, WeftError
from weft.importing import import_all

if TYPE_CHECKING:
    from collections.abc import Collection

    from weft.evals.records.folder import RowKey
    from weft.evals.results import Evaluation
    from weft.evals.suite import Suite

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
        "sampling": settings("--sampling", sampling) if sampling else None,
        "budget": budget_values(budget) or None,
        "concurrency": concurrency,
        "max_errors": max_errors,
        "retries": retries,
        "on_error": on_error,
    }
    suite = overlaid(what, {k: v for k, v in given.items() if v is not None})
    folder = out if out is not None else Path(f"eval-{title_of(suite.task)}")
    parts = {folder / name: part for name, part in suite.by_model().items()} or {folder: suite}
    failed: list[WeftError] = []
    for part, own in parts.items():
        try:
            _run(own, part, store, moved=moved)
        except WeftError as e:
            failed.append(e)
    if failed:
        raise failed[0]
    for part in list(parts)[1:]:
        compare(next(iter(parts)), part)


def _run(suite: Suite, folder: Path, store: str | None, *, moved: bool) -> None:
    from weft.cli.evals.table import show as show_table

    show_table(evaluate(suite, folder, store, moved=moved))
    stdout().print(f"report: {folder / 'report.html'}", soft_wrap=True, markup=False)


def recorded(arguments: list[str]) -> str:
    """A command for the record, without the passwords of URLs."""
    return shlex.join(["weft", *(_PASSWORD.sub(r"\1***@", text) for text in arguments)])


def settings(option: str, given: list[str]) -> dict[str, Any]:
    """`name=value` options as a dict, values read as YAML has them."""
    import yaml

    try:
        return {name: yaml.safe_load(value) for name, value in pairs(option, given).items()}
    except yaml.YAMLError:
        raise UsageError(f"{option} {' '.join(given)}: a value can't be read; quote it") from None


def overlaid(what: str, given: dict[str, Any]) -> Suite:
    """The suite of a file or a task, with the options of the command line laid over it."""
    from pydantic import ValidationError

    from weft.evals.suite import Suite, load
    from weft.evals.tasks.registry import parse_task
    from weft.spec import written

    suite_file = _is_suite(what)
    if suite_file and _holds_lines(what):
        what, suite_file = f"jsonl(path={written(what)})", False
    if suite_file:
        base = load(Path(what)).model_dump(by_alias=True)
    else:
        task = parse_task(what)
        base = load(task.suite).model_dump(by_alias=True) if task.suite else {}
        base["task"] = what
        if not base.get("strategies") and not given.get("strategies"):
            raise UsageError(f"task {task.name} has no suite of its own; give --strategy SPEC")
    if "model" in given:
        base.pop("models", None)
    try:
        suite = Suite.model_validate({**base, **given})
    except ValidationError as e:
        error = e.errors()[0]
        name = ".".join(str(p) for p in error["loc"] if not str(p).startswith("function-"))
        message = error["msg"].removeprefix("Value error, ")
        option = name.replace("strategies", "strategy").replace("_", "-")
        raise UsageError(
            f"--{option}: {message[0].lower()}{message[1:]}, not {error['input']!r}"
        ) from None
    suite.parts()
    return suite


def title_of(task: str) -> str:
    """What a task's folder is called after: the file of its problems, or its name."""
    from weft.evals.tasks.registry import is_lines, long_form
    from weft.spec import read_spec

    if is_lines(task):
        return Path(task.strip()).stem
    return read_spec(long_form(task), "task").name.rpartition(":")[2]


def _is_suite(what: str) -> bool:
    """Whether this is a suite's file, rather than the spec of a task or a file of problems."""
    from weft.evals.tasks.registry import is_lines

    if what.endswith((".yaml", ".yml")):
        return True
    return Path(what).is_file() and not is_lines(what) and not what.endswith(".py")


def _holds_lines(file: str) -> bool:
    """Whether a file begins with an object on a line, as files of problems do and suites do not."""
    import json

    try:
        with Path(file).open("rb") as lines:
            first: Any = json.loads(lines.readline(1 << 20))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "task" not in first


def evaluate(
    suite: Suite,
    out: Path,
    store: str | None = None,
    *,
    kept: bool = True,
    moved: bool = False,
    only: Collection[RowKey] | None = None,
) -> Evaluation:
    """Run a suite and show how it goes.

    Args:
        suite: what to run.
        out: the folder for results.
        store: the file or URL for results of calls.
        moved: whether the engines are those of before at other addresses.
        only: strategies, and samples with repeats, to run of it; all if None.
        kept: whether the folder will still be there when this is interrupted.
    """
    from weft.cli.evals.progress import shown
    from weft.cli.version import version
    from weft.evals.session import finished, run_suite

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
