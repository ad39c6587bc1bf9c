"""weft runs, weft answer: runs with an id, from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli.common import (
    BudgetText,
    CommandGroup,
    Engines,
    Model,
    PolicyText,
    Replicas,
    Roles,
    stdout,
)
from weft.cli.run import run as run_verb
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.store.kept_runs import Deed, KeptRun
    from weft.store.store import Store

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="List, show, resume, fork and cancel the runs with an id that a store keeps.",
)

StoreText = Annotated[
    str, typer.Option("--store", metavar="FILE|URL", help="The store that keeps the runs.")
]
Id = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]


@contextmanager
def _opened(where: str) -> Generator[Store]:
    from pathlib import Path

    from weft.store.store import Store

    if "://" not in where and not Path(where).is_file():
        raise UsageError(f"there is no store {where}; name the --store of weft run")
    with Store(where) as store:
        yield store


@app.command("list")
def list_runs(store: StoreText) -> None:
    """List runs, those that changed last first, with what they wait for."""
    from rich.table import Table

    from weft.store.kept_runs import KeptRuns

    with _opened(store) as opened:
        kept = KeptRuns(opened.database)
        runs, waiting = kept.all(), kept.waiting()
    if not runs:
        print("no runs; give one an id: weft run FILE.py:PROGRAM --store FILE --id NAME")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("run", "program", "state", "changed", "calls", "waits for a person"):
        table.add_column(column, overflow="fold")
    for run in runs:
        asks = [deed.name for deed in waiting if deed.run == run.id]
        calls = str(json.loads(run.usage)["calls"]) if run.usage else ""
        table.add_row(run.id, run.program, _state(run), _ago(run.changed), calls, "; ".join(asks))
    stdout().print(table, markup=False)


@app.command()
def show(run: Id, store: StoreText) -> None:
    """Show a run: its arguments, what it did once, what it waits for, how it ended."""
    from weft.programs.durable.deeds import described, history
    from weft.programs.durable.manage import known
    from weft.store.kept_runs import KeptRuns

    with _opened(store) as opened:
        kept = KeptRuns(opened.database)
        found = known(kept, run)
        deeds = history(kept, run)
    print(f"{found.id}: {found.program}({_arguments(found)})")
    print(f"{_state(found)}, begun {_ago(found.began)}, changed {_ago(found.changed)}")
    if found.fork_of is not None:
        print(f"goes on from {found.fork_of}")
    for number, deed in enumerate(deeds, 1):
        print(f"{number:>4}  {_deed(deed):<10} {described(deed, 100)}")
        if deed.kind == "person" and deed.state in ("waiting", "answered"):
            details: list[Any] = json.loads(deed.arguments)["details"]
            for detail in details:
                print(f"      {detail if isinstance(detail, str) else json.dumps(detail)}")
            if deed.said:
                print(f"      {deed.said}")
        elif deed.state == "failed":
            print(f"      {deed.said}")
    if found.state == "done":
        print(f"value: {found.said}")
    elif found.said:
        print(f"error: {found.said}")
    if found.usage:
        usage = json.loads(found.usage)
        print(f"{usage['calls']} calls, {usage['prompt']} prompt tokens, "
              f"{usage['completion']} generated")  # fmt: skip


@app.command()
def resume(
    run: Id,
    store: StoreText,
    engine: Engines = None,
    model: Model = None,
    replicas: Replicas = None,
    role: Roles = None,
    policy: PolicyText = None,
    budget: BudgetText = None,
) -> None:
    """Run a run's program again under its id: what was done is not done again."""
    from weft.programs.durable.manage import known
    from weft.store.kept_runs import KeptRuns

    with _opened(store) as opened:
        found = known(KeptRuns(opened.database), run)
    if not found.source:
        raise UsageError(
            f"run {run!r} is one of {found.program}, which stands in no file by itself; call "
            f"run(..., id={run!r}) in the program that began it"
        )
    given = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in json.loads(found.arguments).items()
    ]
    run_verb(
        found.source,
        arg=given,
        engine=engine,
        model=model,
        replicas=replicas,
        role=role,
        policy=policy,
        budget=budget,
        store=store,
        id=run,
    )


@app.command()
def fork(
    run: Id,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The id of the fork.")],
    store: StoreText,
    at: Annotated[
        int, typer.Option(min=1, metavar="N", help="The first deed that is done anew; see show.")
    ],
) -> None:
    """Make a run that goes on from another one before its deed N; then resume the fork."""
    from weft.programs.durable.manage import fork as _fork

    with _opened(store) as opened:
        _fork(opened, run, new, at=at)
    print(f"{new} goes on from {run} before deed {at}; weft runs resume {new} runs it")


@app.command()
def cancel(run: Id, store: StoreText) -> None:
    """Cancel a run, also one that runs in another process."""
    from weft.programs.durable.manage import cancel as _cancel

    with _opened(store) as opened:
        runs = _cancel(opened, run)
    print(f"{run} ends within two seconds" if runs else f"{run} is cancelled")


@app.command()
def forget(run: Id, store: StoreText) -> None:
    """Forget a run and what it did once. Results of its calls stay in the store."""
    from weft.programs.durable.manage import forget as _forget

    with _opened(store) as opened:
        _forget(opened, run)


def answer(
    run: Id,
    text: Annotated[str, typer.Argument(metavar="ANSWER", help="What the run is told.")],
    store: StoreText,
    deed: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Which question, if several are open; see show."),
    ] = None,
) -> None:
    """Answer a question that a run asks a person.

    Example: weft answer bees yes --store runs.db
    """
    from weft.programs.durable.manage import answer as _answer
    from weft.programs.durable.manage import known
    from weft.programs.durable.named_run import alive
    from weft.store.kept_runs import KeptRuns

    with _opened(store) as opened:
        question = _answer(opened, run, text, deed=deed)
        kept = KeptRuns(opened.database)
        until = time.monotonic() + 5
        while time.monotonic() < until and alive(known(kept, run)):
            now = kept.deed(question.run, question.key)
            if now is None or now.state == "done":
                print(f"{run} goes on")
                return
            if now.state == "waiting":
                raise UsageError(f"{now.said}; the question is still open")
            time.sleep(0.1)
    print(f"kept; {run} reads it when it is resumed")


def _state(run: KeptRun) -> str:
    from weft.programs.durable.named_run import alive

    return "died" if run.state == "running" and not alive(run) else run.state


def _deed(deed: Deed) -> str:
    return "broken off" if deed.state == "begun" else deed.state


def _arguments(run: KeptRun) -> str:
    given: dict[str, Any] = json.loads(run.arguments)
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in given.items())


def _ago(at: float) -> str:
    seconds = max(0.0, time.time() - at)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
