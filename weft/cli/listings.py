"""weft strategies, weft policies, weft tasks ...: what there is, from where, and its parameters."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli.common import Imports, complain, stdout

if TYPE_CHECKING:
    from weft.parameters import Parameter
    from weft.registry import PartRegistry

Name = Annotated[
    str | None, typer.Argument(help="The part to show in full, by its name or as FILE.py:NAME.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with all parameters.")]


def strategies(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
    """List the strategies, or show one with its parameters.

    Example: weft strategies best_of_n
    """
    from weft.search.strategy import STRATEGIES

    tell(STRATEGIES, name, imports, as_json)


def policies(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
    """List the scheduling policies, or show one with its parameters.

    Example: weft policies cap
    """
    from weft.orchestrator.policy import POLICIES

    tell(POLICIES, name, imports, as_json)


def tasks(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
    """List the tasks, or show one with its parameters.

    Example: weft tasks jsonl
    """
    from weft.evals.tasks.task import TASKS

    tell(TASKS, name, imports, as_json)


def workloads(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
    """List the workloads that can be simulated, or show one with its parameters.

    Example: weft workloads coding_agents
    """
    from weft.simulation.sources import SOURCES

    tell(SOURCES, name, imports, as_json)


def arrivals(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
    """List the ways in which programs arrive, or show one with its parameters.

    Example: weft arrivals gamma
    """
    from weft.simulation.arrivals import ARRIVALS

    tell(ARRIVALS, name, imports, as_json)


def verifiers(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
    """List the verifiers, or show one with its parameters.

    Example: weft verifiers model
    """
    from weft.search.verifiers import VERIFIERS

    tell(VERIFIERS, name, imports, as_json)


def engine_kinds(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
    """List the kinds of engines that specs can name, or show one with its parameters.

    Example: weft engines kinds openai
    """
    from weft.backends.kinds import KINDS

    tell(KINDS, name, imports, as_json)


def tell(
    registry: PartRegistry[Any], name: str | None, imports: list[str] | None, as_json: bool
) -> None:
    """Print all parts of a kind, or one in full.

    What is wrong with a package's parts is said on stderr; the others are listed.
    """
    from weft.registry import Listed, import_all

    import_all(imports or [])
    if name is not None:
        part = registry.find(name)
        shown, wrong = [Listed(name, registry.origin(part), part)], list[str]()
    else:
        shown, wrong = registry.listed()
    for sentence in wrong:
        complain(sentence)
    if as_json:
        print(json.dumps([_described(one) for one in shown], indent=2))
    elif name is not None:
        _show(shown[0])
    else:
        _list(shown)


def _described(one: Any) -> dict[str, Any]:
    """A part as plain data."""
    from weft.signature import parameters

    return {
        "name": one.name,
        "from": one.origin,
        "about": _first_line(one.part),
        "parameters": [
            {"name": p.name, "default": _default(p), "required": p.required, "meaning": p.doc}
            for p in parameters(one.part)
        ],
    }


def _default(p: Parameter) -> str:
    from weft.parameters import Parametric, written

    if p.required or p.default is None:
        return ""
    if isinstance(p.default, Parametric):
        return p.default.spec
    return repr(p.default) if str(p.default).isspace() else written(p.default)


def _doc(part: type) -> str:
    return (inspect.getdoc(part) or "").partition("\nArgs:")[0]


def _first_line(part: type) -> str:
    return _doc(part).partition("\n")[0]


def _list(found: list[Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for one in found:
        table.add_row(one.name, Text(_first_line(one.part)), Text(one.origin, overflow="fold"))
    stdout().print(table)


def _show(one: Any) -> None:
    from rich.table import Table

    from weft.signature import parameters

    console = stdout()
    paragraphs = [" ".join(p.split()) for p in _doc(one.part).strip().split("\n\n")]
    console.print(f"{one.name}: " + "\n\n".join(paragraphs), markup=False)
    console.print(f"\nfrom: {one.origin}", markup=False, soft_wrap=True)
    rows = [(p.name, _default(p), p.doc) for p in parameters(one.part)]
    if not rows:
        console.print("\nIt has no parameters.")
        return
    table = Table("parameter", "default", "meaning", box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table)
