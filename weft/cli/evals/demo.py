"""weft demo: everything once, on this machine, without a network."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from weft.cli.common import stdout


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep results and report in this folder, and go on from results that are there. "
            "By default only report.html is written, into the current folder.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="How many problems to solve.")
    ] = None,
) -> None:
    """Start two replicas of the shipped model and compare strategies on Countdown.

    Example: weft demo --out demo
    """
    from weft.cli.evals.asked import overlaid as suite_of
    from weft.cli.evals.table import show
    from weft.cli.evals.verbs import evaluate
    from weft.evals.records import REPORT

    suite = suite_of("countdown", {"limit": limit} if limit is not None else {})
    if out is not None:
        evaluation = evaluate(suite, out)
        report = out / REPORT
    else:
        with tempfile.TemporaryDirectory(prefix="weft-demo-") as folder:
            evaluation = evaluate(suite, Path(folder), kept=False)
            report = Path(REPORT)
            shutil.copyfile(Path(folder) / REPORT, report)
    show(evaluation)
    stdout().print(f"report: {report.resolve()}", soft_wrap=True, markup=False)
