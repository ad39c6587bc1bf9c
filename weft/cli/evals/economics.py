"""weft eval frontier, weft eval runtime: what answers cost, over models, people and time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import pairs
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.evals.reports.economics import Prices

Dirs = Annotated[
    list[Path], typer.Argument(metavar="DIR...", help="Evaluations of one task, by any models.")
]


def frontier(
    folders: Dirs,
    price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=PROMPT:GENERATED",
            help="Dollars of a million tokens of a model. May be given several times.",
        ),
    ] = None,
    person: Annotated[
        float | None,
        typer.Option(min=0, metavar="DOLLARS", help="What a person takes for a problem."),
    ] = None,
) -> None:
    """Print what right answers cost by each model and strategy, and by the cheapest of all.

    Example: weft eval frontier small large --price small=0.1:0.4 --price large=2:8 --person 5
    """
    from weft.cli.evals.table import print_section
    from weft.evals.reports.economics import cost_frontier

    prices = {model: _prices(model, text) for model, text in pairs("--price", price or []).items()}
    least = math.inf if person is None else person
    for section in cost_frontier(folders, prices, least):
        print_section(section)


def runtime(
    idle: Annotated[
        Path,
        typer.Argument(
            metavar="IDLE", help="An evaluation whose calls ran alone: run with --concurrency 1."
        ),
    ],
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Evaluations of the same model.")
    ],
) -> None:
    """Print what calls took, and what they would have taken on an idle engine.

    Example: weft eval runtime alone busy
    """
    from weft.cli.evals.table import print_section
    from weft.evals.reports.economics import run_times

    print_section(run_times(idle, folders)[1])


def _prices(model: str, text: str) -> Prices:
    from weft.evals.reports.economics import Prices

    first, _, second = text.partition(":")
    try:
        found = Prices(float(first), float(second or first))
    except ValueError:
        found = Prices(-1, -1)
    if not (0 <= found.prompt < math.inf and 0 <= found.generated < math.inf):
        raise UsageError(
            f"--price {model}={text} must be dollars of a million tokens, such as {model}=0.1:0.4"
        )
    return found
