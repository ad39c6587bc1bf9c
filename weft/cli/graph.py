"""weft graph: a program as it is declared, as it was learned, or as it ran."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import Imports, stderr
from weft.errors import ConfigError, UnknownName, UsageError
from weft.parts.importing import import_all, is_file, reference

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.DiGraph[str]

_FORMS = (".mmd", ".svg", ".html")


def graph(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="FILE.py:PROGRAM or module:PROGRAM as it is declared; with --learned a program's "
            "name; or the folder that weft run wrote by --out.",
        ),
    ],
    learned: Annotated[
        bool, typer.Option("--learned", help="Draw what the program's runs were like.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL", help="With --learned: the --store of weft run or weft serve."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write this file: .svg, .mmd (Mermaid), or .html where WHAT is a folder.",
        ),
    ] = None,
    imports: Imports = None,
) -> None:
    """Draw a program. Prints a Mermaid flowchart, unless --out names a file.

    Example: weft graph fix.py:fix --out fix.svg
    """
    if out is not None and out.suffix not in _FORMS:
        raise UsageError(f"--out {out} must end with {', '.join(_FORMS[:-1])} or {_FORMS[-1]}")
    if store is not None and not learned:
        raise UsageError("--store is for --learned; add --learned")
    import_all(imports or [])
    folder = Path(what)
    if out is not None and out.suffix == ".html" and (learned or not folder.is_dir()):
        raise UsageError(f"--out {out} is for a folder of weft run; use .svg or .mmd")
    if learned:
        drawn = _learned(what, store)
    elif folder.is_dir():
        drawn = _ran(folder, html=out is not None and out.suffix == ".html")
    else:
        drawn = _declared(what)
    if isinstance(drawn, str):
        text = drawn
    elif out is not None and out.suffix == ".svg":
        from weft.programs.figures.svg import svg

        text = svg(drawn)
    else:
        from weft.programs.figures.mermaid import mermaid

        text = mermaid(drawn)
    if out is None:
        print(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"can't write {out}: {e.strerror}; use another") from None


def _declared(what: str) -> Graph:
    from weft.cli.run import load
    from weft.programs.figures.stages import declared_graph
    from weft.programs.scope.declaration import declared

    if reference(what) is None and not is_file(what):
        raise UsageError(
            f"{what!r} is no folder of weft run; else write FILE.py:PROGRAM or module:PROGRAM"
        )
    program = load(what)
    if not declared(program).follow:
        stderr().print(f"{what} declares no stages; @program(stages=[...]) says them", markup=False)
    return declared_graph(program)


def _learned(name: str, store: str | None) -> Graph:
    from weft.orchestrator.estimates.profiles import Profiles
    from weft.programs.figures.stages import learned_graph
    from weft.store.store import Store

    if store is None:
        raise UsageError("--learned needs --store FILE, where weft run or weft serve kept it")
    if "://" not in store and not Path(store).is_file():
        raise UsageError(f"there is no store {store}; name that of weft run --store")
    with Store(store) as kept:
        profiles = Profiles(kept)
        drawn = learned_graph(name, profiles)
        if drawn is None:
            known = profiles.graphs.names
            if not known:
                raise UsageError(f"{kept.name} knows no program; run one with this --store")
            raise UnknownName(f"program in {kept.name}", name, known)
    return drawn


def _ran(folder: Path, *, html: bool) -> Graph | str:
    from weft.programs.figures.folding import folded_graph
    from weft.programs.figures.page import page
    from weft.programs.figures.spans import spans_of
    from weft.programs.history.event_file import EVENTS, read_events

    if not (folder / EVENTS).is_file():
        raise UsageError(f"{folder} holds no run; name the --out of weft run")
    spans = spans_of(read_events(folder / EVENTS))
    return page(spans) if html else folded_graph(spans)
