"""weft strategies, weft policies, weft tasks ...: what there is, from where, and its parameters."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli.common import Imports, complain, stdout

if TYPE_CHECKING:
    from weft.parts.parameters import Parameter
    from weft.parts.registry import PartRegistry

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="The one to show in full: its name, FILE.py:NAME or module:NAME.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with all parameters.")]


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of what the parts of a kind declare, by the names of it.

    Attributes:
        families: of the families that parts may belong to, in order.
        needs: of what parts may need.
    """

    families: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Listing:
    """A command that lists the parts of a kind, or shows one.

    Attributes:
        module, registry: where the registry is; imported when the command runs.
        parts: what they are called in help texts.
        example: the name of one.
        command: how the command is called.
    """

    module: str
    registry: str
    parts: str
    example: str
    command: str

    @property
    def short_help(self) -> str:
        """What `weft --help` says of it."""
        return f"List {self.parts}, or show one."

    def __call__(self) -> Callable[..., None]:
        """The command, for typer."""

        def command(name: Name = None, imports: Imports = None, as_json: AsJson = False) -> None:
            module = import_module(self.module)
            words = Words(getattr(module, "FAMILIES", {}), getattr(module, "NEEDS", {}))
            tell(getattr(module, self.registry), name, imports, as_json, words)

        command.__doc__ = (
            f"List the {self.parts}, or show one with its parameters.\n\n"
            f"Example: weft {self.command} {self.example}"
        )
        return command


LISTINGS = [
    Listing("weft.orchestrator.policy", "POLICIES", "scheduling policies", "cap", "policies"),
    Listing("weft.search.strategy", "STRATEGIES", "strategies", "best_of_n", "strategies"),
    Listing("weft.search.verifiers", "VERIFIERS", "verifiers", "model", "verifiers"),
    Listing("weft.search.readers", "READERS", "readers of answers", "number", "readers"),
    Listing("weft.evals.tasks.task", "TASKS", "tasks", "jsonl", "tasks"),
    Listing("weft.evals.tasks.scorer", "SCORERS", "scorers of answers", "f1", "scorers"),
    Listing("weft.simulation.sources", "SOURCES", "workloads", "coding_agents", "workloads"),
    Listing(
        "weft.simulation.arrivals", "ARRIVALS", "ways in which programs arrive", "gamma", "arrivals"
    ),
]
ENGINE_KINDS = Listing(
    "weft.backends.kinds", "KINDS", "kinds of engines", "openai", "engines kinds"
)


def tell(
    registry: PartRegistry[Any],
    name: str | None,
    imports: list[str] | None,
    as_json: bool,
    words: Words = Words(),
) -> None:
    """Print all parts of a kind, or one in full.

    What is wrong with a package's parts is said on stderr; the others are listed.
    """
    from weft.parts.importing import import_all
    from weft.parts.registry import Listed
    from weft.parts.spec import read_spec

    import_all(imports or [])
    if name is not None:
        part = registry.find(read_spec(name, registry.kind).name)
        shown, wrong = [Listed(name, registry.origin(part), part)], list[str]()
    else:
        shown, wrong = registry.listed()
    for sentence in wrong:
        complain(sentence)
    if as_json:
        print(json.dumps([_described(one) for one in shown], indent=2))
    elif name is not None:
        _show(shown[0], words)
    else:
        _list(shown, words)


_SAID = ("family", "source", "needs")
"""What parts of some kinds declare of themselves."""


def _described(one: Any) -> dict[str, Any]:
    """A part as plain data."""
    from weft.parts.signature import parameters

    return {
        "name": one.name,
        "from": one.origin,
        "about": _first_line(one.part),
        **{key: value for key in _SAID if (value := getattr(one.part, key, None))},
        "parameters": [
            {"name": p.name, "default": _default(p), "required": p.required, "meaning": p.doc}
            for p in parameters(one.part)
        ],
    }


def _default(p: Parameter) -> str:
    from weft.parts.parameters import Parametric, written

    if p.required or p.default is None:
        return ""
    if isinstance(p.default, Parametric):
        return p.default.spec
    return repr(p.default) if str(p.default).isspace() else written(p.default)


def _doc(part: type) -> str:
    """What a part's author says of it; what dataclasses write by themselves says nothing."""
    own = inspect.cleandoc(part.__doc__ or "")
    return "" if own.startswith(f"{part.__name__}(") else own.partition("\nArgs:")[0]


def _first_line(part: type) -> str:
    return _doc(part).partition("\n")[0]


def _list(found: list[Any], words: Words) -> None:
    from rich.table import Table
    from rich.text import Text

    console = stdout()
    by_family: dict[str, list[Any]] = {family: [] for family in words.families}
    for one in found:
        by_family.setdefault(getattr(one.part, "family", None) or "others", []).append(one)
    for family, members in by_family.items():
        if not members:
            continue
        table = Table.grid(padding=(0, 2))
        for one in members:
            name = f"  {one.name}" if words.families else one.name
            table.add_row(name, Text(_first_line(one.part)), Text(one.origin, overflow="fold"))
        if words.families:
            about = words.families.get(family)
            console.print(f"{family}: {about}" if about else family, markup=False)
        console.print(table)


def _show(one: Any, words: Words) -> None:
    from rich.table import Table

    from weft.parts.signature import parameters

    console = stdout()
    paragraphs = [" ".join(p.split()) for p in _doc(one.part).strip().split("\n\n")]
    console.print(f"{one.name}: " + "\n\n".join(paragraphs), markup=False)
    console.print(f"\nfrom: {one.origin}", markup=False, soft_wrap=True)
    needs = "; ".join(words.needs.get(need, need) for need in getattr(one.part, "needs", ()))
    family, source = (getattr(one.part, key, None) for key in ("family", "source"))
    for key, value in (("family", family), ("paper", source), ("needs", needs)):
        if value:
            console.print(f"{key}: {value}", markup=False)
    rows = [(p.name, _default(p), p.doc) for p in parameters(one.part)]
    if not rows:
        console.print("\nIt has no parameters.")
        return
    table = Table("parameter", "default", "meaning", box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console.print()
    console.print(table)
