"""What a report says besides each strategy's results, as tables for pages and terminals alike."""

from __future__ import annotations

from collections.abc import Sequence

from weft.evals.coverage import DrawnCounts
from weft.evals.records import Session
from weft.evals.reports.comparisons import COLUMNS, Comparison, notes
from weft.evals.reports.costs import costs
from weft.evals.reports.section import ReportSection
from weft.evals.reports.sweep import Effect, sweep_sections
from weft.evals.reports.verifiers import verifiers
from weft.evals.results import Result
from weft.evals.results.checks import CheckSummary
from weft.evals.results.repeats import drawn, repeated
from weft.evals.statistics import share


def sections(
    results: Sequence[Result],
    differences: Sequence[Comparison],
    session: Session | None = None,
    effects: Sequence[Effect] = (),
    checks: Sequence[CheckSummary] = (),
) -> list[ReportSection]:
    """The tables for which there is something to show."""
    found = [
        *(sweep_sections(results, session.cells, effects) if session is not None else ()),
        _differences(differences),
        _abstentions(results),
        verifiers(results),
        _credits(results),
        _repeats(results),
        _coverage(results),
    ]
    if session is not None:
        found.append(costs(results, session))
    found.append(_checks(results, checks))
    return [section for section in found if section.rows]


def _differences(differences: Sequence[Comparison]) -> ReportSection:
    title = f"Against {differences[0].second.strategy}" if differences else ""
    said = notes(differences[0].family) if differences else ""
    return ReportSection(title, COLUMNS, [d.cells() for d in differences], said)


def _abstentions(results: Sequence[Result]) -> ReportSection:
    rows: list[list[str]] = []
    for r in (r for r in results if r.abstained):
        given = [row for row in r.rows if not row.abstained]
        counts = (r.correct, r.n - r.correct - r.abstained, r.abstained)
        sure = share([float(bool(g.correct)) for g in given], [g.group for g in given])
        rows.append([r.strategy, *map(str, counts), str(sure) if given else ""])
    return ReportSection(
        "Abstentions",
        ("strategy", "right", "wrong", "abstained", "accuracy of what is answered, %"),
        rows,
        "abstained: the strategy gave no answer on purpose, which counts as not right in the "
        "accuracy above",
    )


def _credits(results: Sequence[Result]) -> ReportSection:
    some = any(r.partly for r in results)
    rows = [[r.strategy, str(r.share), str(r.partial)] for r in results if some and r.n]
    return ReportSection(
        "Partial credit",
        ("strategy", "accuracy, %", "credit, %"),
        rows,
        "credit: the mean of what answers are worth by the task's scorer; a right one is worth 100",
    )


def _repeats(results: Sequence[Result]) -> ReportSection:
    rows: list[list[str]] = []
    for result in results:
        if (asked := repeated(result)) is not None:
            shares = (asked.average, asked.majority, asked.worst, asked.best)
            rows.append(
                [result.strategy, str(len(asked.problems)), str(asked.k), *map(str, shares)]
            )
    return ReportSection(
        "Repeats",
        ("strategy", "problems", "k", "avg@k, %", "maj@k, %", "worst of k, %", "best of k, %"),
        rows,
        "avg: the mean of k answers to a problem; maj: their vote; worst: all are right; best: "
        "at least one is, as in pass@k",
    )


def _coverage(results: Sequence[Result]) -> ReportSection:
    rows: list[list[str]] = []
    for result in results:
        if (draws := drawn(result)) is not None:
            rows += _grows(result.strategy, draws)
    return ReportSection(
        "Coverage",
        ("strategy", "k", "pass@k, %", "by the law, %"),
        rows,
        "pass@k: at least one of k answers is right (without bias), as a perfect choice among them "
        "would be; the law exp(a k^b) is fitted to all k measured, and beside the last k to those "
        "before it; its interval is for the choice of problems, and holds if the law does",
    )


def _grows(strategy: str, draws: DrawnCounts) -> list[list[str]]:
    """Coverage as measured, and by the law at four times as many answers.

    Beside the last that was measured stands what the law said of it before: so one sees what the
    law is worth here.
    """
    ks, law = draws.ks, draws.law()
    rows = [["", str(k), str(draws.at(k)), ""] for k in ks]
    rows[0][0] = strategy
    if len(ks) > 2:
        rows[-1][-1] = str(draws.extrapolated(ks[-1], ks[-2]) or "")
    further = draws.extrapolated(4 * ks[-1])
    if law is not None and further is not None:
        fit = f"exp({law[0]:.2f} k^{law[1]:.2f})"
        rows.append(["", str(4 * ks[-1]), fit, str(further)])
    return rows


def _checks(results: Sequence[Result], checks: Sequence[CheckSummary]) -> ReportSection:
    calls = {r.strategy: r.usage.calls for r in results}
    rows: list[list[str]] = []
    for one in checks:
        of = calls.get(one.strategy, 0)
        counts = one.count("same text"), one.count("same answer")
        cost = f"{one.tokens:,}" + (f", ${one.dollars:.4f}" if one.dollars else "")
        rows.append(
            [
                one.strategy,
                f"{one.compared} ({100 * one.compared / of:.1f} %)" if of else str(one.compared),
                *map(str, counts),
                str(one.differ) if one.compared else "",
                str(one.count("failed")),
                cost,
            ]
        )
    return ReportSection(
        "Result checks",
        (
            "strategy", "calls compared", "same text", "same answer", "differ, %", "failed",
            "tokens of second calls",
        ),
        rows,
        "a share of calls was asked of a second engine of the same model, with the same prompt, "
        "settings and seed; differ: another answer, or another text where none can be read; the "
        "second calls count in no other figure",
    )  # fmt: skip
