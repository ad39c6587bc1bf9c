"""weft strategies, weft policies, weft tasks: what there is, and its parameters."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from weft.cli.common import stdout
from weft.errors import UnknownName


def strategies(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
) -> None:
    """List the strategies, or show one with its parameters.

    Example: weft strategies best_of_n
    """
    from weft.parameters import written
    from weft.search import strategies as all_strategies
    from weft.search.strategy import Strategy

    known = all_strategies()
    if name is None:
        _list([(n, _first_line(s)) for n, s in sorted(known.items())])
        return
    if name not in known:
        raise UnknownName("strategy", name, known)
    found = known[name]
    rows = [
        (
            p.name,
            p.default.spec if isinstance(p.default, Strategy) else written(p.default),
            p.doc,
        )
        for p in found.parameters()
    ]
    _show(name, inspect.getdoc(found) or "", rows)


def policies(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
) -> None:
    """List the scheduling policies, or show one with its parameters.

    Example: weft policies cap
    """
    from weft.orchestrator.policy import policies as all_policies
    from weft.parameters import written

    known = all_policies()
    if name is None:
        _list([(n, _first_line(p)) for n, p in sorted(known.items())])
        return
    if name not in known:
        raise UnknownName("policy", name, known)
    rows = [(p.name, written(p.default), p.doc) for p in known[name].parameters()]
    _show(name, inspect.getdoc(known[name]) or "", rows)


def tasks(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
) -> None:
    """List the tasks, or show one with its parameters.

    Example: weft tasks jsonl
    """
    from weft.evals.tasks.registry import parameters
    from weft.evals.tasks.registry import tasks as all_tasks

    known = all_tasks()
    if name is None:
        _list([(n, _first_line(t)) for n, t in sorted(known.items())])
        return
    if name not in known:
        raise UnknownName("task", name, known)
    doc, _, listed = (inspect.getdoc(known[name]) or "").partition("\nArgs:")
    docs = _argument_docs(listed)
    rows = [(n, _default(p), docs.get(n, "")) for n, p in parameters(known[name]).items()]
    _show(name, doc, rows)


def _default(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty or default is None:
        return ""
    return repr(default) if str(default).isspace() else str(default)


def _argument_docs(text: str) -> dict[str, str]:
    """The arguments of a Google-style docstring."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        head, colon, rest = line.strip().partition(": ")
        if colon and line.startswith("    ") and not line.startswith("     "):
            name = head
            found[name] = rest
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def _first_line(thing: type) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _list(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    stdout().print(table)


def _show(name: str, doc: str, rows: list[tuple[str, str, str]]) -> None:
    from rich.table import Table

    console = stdout()
    paragraphs = [" ".join(p.split()) for p in doc.strip().split("\n\n")]
    console.print(f"{name}: " + "\n\n".join(paragraphs), markup=False)
    if not rows:
        console.print("\nIt has no parameters.")
        return
    table = Table("parameter", "default", "meaning", box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table)
