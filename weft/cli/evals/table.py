"""Tables of results on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.cli.common import stdout
from weft.evals.reports.findings import Finding, judged
from weft.evals.reports.section import ReportSection
from weft.evals.reports.sections import sections
from weft.evals.results import Evaluation, Result

if TYPE_CHECKING:
    from rich.table import Table

_NARROW: tuple[str, ...] = ("n", "accuracy, % [95 %]", "computed", "calls", "seconds")
_WIDE: tuple[str, ...] = (
    "prompt",
    "cached",
    "generated",
    "thinking",
    "cancelled",
    "p50 s",
    "p95 s",
)


def show(evaluation: Evaluation) -> None:
    """Print the table and the findings."""
    from rich.table import Table

    console = stdout()
    wide = console.width >= 110
    thinks = any(result.usage.reasoning for result in evaluation.results)
    names = [n for n in _NARROW + _WIDE * wide if thinks or n != "thinking"]
    settings = evaluation.settings
    table = Table(
        title=f"{settings.task}, model {settings.model}, seed {settings.seed}",
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="bold",
        caption="tokens are means a problem: computed = prompt not cached + generated",
        caption_justify="left",
    )
    table.add_column("strategy", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for result in evaluation.results:
        cells = dict(zip(_NARROW + _WIDE, _cells(result), strict=True))
        table.add_row(result.strategy, *(cells[name] for name in names))
    console.print(table)
    report = judged(evaluation)
    told = evaluation.session, report.effects, evaluation.checks
    for section in sections(evaluation.results, report.differences, *told):
        print_section(section)
    for finding in report.findings:
        print_finding(finding)
    for result in evaluation.results:
        if result.refused:
            reason = next(r.error for r in result.rows if r.refused)
            console.print(
                f"{result.strategy}: {result.refused} of {result.n} samples failed or were "
                f"refused, and count as wrong; the first: {reason}",
                markup=False,
                soft_wrap=True,
            )
    if evaluation.errors:
        console.print(f"{evaluation.errors} samples failed; the same command tries them again.")


def print_section(section: ReportSection) -> None:
    """Print one of a report's tables."""
    stdout().print(_section(section))


def _section(section: ReportSection) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(section.title.lower()),
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="bold",
        caption=section.notes,
        caption_justify="left",
    )
    for i, name in enumerate(section.columns):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in section.rows:
        table.add_row(*map(escape, row))
    return table


def print_finding(finding: Finding) -> None:
    """Print a question with its answer."""
    from rich.text import Text

    colours = {"yes": "green", "no": "red", "can't tell": "yellow"}
    text = Text.assemble(
        f"{finding.question} ",
        (finding.verdict.capitalize(), f"bold {colours[finding.verdict]}"),
        f": {finding.text}",
    )
    stdout().print(text)


def _cells(r: Result) -> list[str]:
    usage, n = r.usage, max(r.n, 1)
    times = r.json()
    return [
        r.count,
        str(r.share),
        f"{r.computed:.0f}",
        f"{usage.calls / n:.1f}",
        f"{r.seconds:.1f}",
        f"{usage.prompt / n:.0f}",
        f"{usage.cached / n:.0f}",
        f"{usage.completion / n:.0f}",
        f"{usage.reasoning / n:.0f}" if usage.reasoning else "",
        f"{usage.cancelled / n:.0f}",
        f"{times['seconds_per_sample_p50']:.2f}",
        f"{times['seconds_per_sample_p95']:.2f}",
    ]
