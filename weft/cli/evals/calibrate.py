"""weft eval calibrate: what strategies scored in an evaluation is kept, for strategies to use."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import stdout

if TYPE_CHECKING:
    from weft.search.calibration.kept import Calibration


def calibrate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An evaluation's folder.")],
    store: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Where the calibrations are kept, for runs with the same --store; "
            "DIR/store.sqlite by default.",
        ),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The name under which strategies find them by their parameter `task`; without "
            "one they are found for the evaluation's own task.",
        ),
    ] = "",
) -> None:
    """Make calibrations of what strategies scored in an evaluation.

    Each takes the place of an older one for the same method, model and task.

    Example: weft eval calibrate results --store calls.sqlite
    """
    from weft.evals.finished.calibrate import calibrate as make

    show(make(folder, store, task))


def calibrations(
    store: Annotated[str, typer.Argument(metavar="FILE|URL", help="A store.")],
) -> None:
    """List the calibrations that a store keeps.

    Example: weft eval calibrations calls.sqlite
    """
    from weft.errors import UsageError
    from weft.search.calibration.kept import kept_calibrations
    from weft.store.store import Store

    if "://" not in store and not Path(store).is_file():
        raise UsageError(f"there is no store {store}; give the --store of `weft eval calibrate`")
    with Store(store) as kept:
        show(kept_calibrations(kept))


def show(found: list[Calibration]) -> None:
    """Print a table of calibrations."""
    from rich.table import Table

    from weft.search.calibration.isotonic import auc

    table = Table(box=None, header_style="bold")
    table.add_column("method", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column("task", overflow="fold")
    for name in ("problems", "examples", "right, %", "AUC", "made"):
        table.add_column(name, justify="right")
    for one in found:
        right, wrong = one.scores(True), one.scores(False)
        table.add_row(
            one.method,
            one.model,
            one.task,
            str(one.problems()),
            str(len(one.examples)),
            f"{100 * one.rate.mean:.0f}" if right or wrong else "-",
            f"{auc(right, wrong):.2f}" if right and wrong else "-",
            f"{datetime.fromtimestamp(one.at).astimezone():%Y-%m-%d %H:%M}",
        )
    stdout().print(table)
    for one in found:
        if any(e.beside for e in one.examples) and one.problems() > 1:
            (_show_profiles if any(e.levels for e in one.examples) else _show_held_out)(one)


def _show_profiles(known: Calibration) -> None:
    """Print how well profiles predict, and what choosing by them comes to."""
    from rich.table import Table

    from weft.search.calibration.profiles import fit_profiles, held_out_choice, held_out_profiles
    from weft.search.calibration.table import SELF

    fitted = fit_profiles(known.examples, lambda spec: spec != SELF)
    table = Table(
        box=None,
        header_style="bold",
        title=f"{known.method}: profiles fitted to one half of the problems, on the other half",
        title_justify="left",
        caption="AUC: how well predictions tell right from wrong, 0.5 is chance; off: by how much "
        "they are off in the mean; weights: log-odds by one standard deviation more of a demand",
        caption_justify="left",
    )
    table.add_column("strategy", overflow="fold")
    for name in ("tokens", "right, %", "AUC", "Brier", "by the share", "off, points"):
        table.add_column(name, justify="right")
    table.add_column("weights", overflow="fold")
    for one in held_out_profiles(known.examples):
        if (profile := fitted.get(one.strategy)) is not None:
            weights = profile.right.weights.items()
            table.add_row(
                one.strategy,
                f"{one.tokens:,.0f}",
                f"{100 * one.right:.1f}",
                f"{one.auc:.2f}",
                f"{one.brier:.3f}",
                f"{one.base:.3f}",
                f"{100 * one.off:.1f}",
                ", ".join(f"{name} {weight:+.2f}" for name, weight in weights),
            )
    stdout().print(table)
    for sure in (0.5, 0.8, 0.95):
        right, tokens = held_out_choice(known.examples, sure)
        stdout().print(
            f"the cheapest that is right with {sure:g}: {100 * right:.1f} % right, {tokens:,.0f} "
            "tokens, on the other half"
        )


def _show_held_out(known: Calibration) -> None:
    """Print what tables of strategies come to, beside the strategies that they choose among."""
    from rich.table import Table

    from weft.search.calibration.table import SELF, held_out, prices

    table = Table(
        box=None,
        header_style="bold",
        title=f"{known.method}: tables fitted to one half of the problems, on the other half",
        title_justify="left",
    )
    table.add_column("tokens of", overflow="fold")
    for name in ("tokens", "right, %", "table: tokens", "right, %"):
        table.add_column(name, justify="right")
    for price in prices(known.examples):
        if price.strategy != SELF:
            right, tokens = held_out(known.examples, price.tokens)
            table.add_row(
                price.strategy,
                f"{price.tokens:,.0f}",
                f"{100 * price.right:.1f}",
                f"{tokens:,.0f}",
                f"{100 * right:.1f}",
            )
    stdout().print(table)
