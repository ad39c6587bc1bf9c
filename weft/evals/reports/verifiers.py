"""What verifiers let pass that is wrong, beside every result that rests on one.

A wrong answer that a verifier passes looks like a right one, and no number of samples mends that
(Stroebl et al. 2024). The task knows which answers are right, so an evaluation can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.errors import WeftError
from weft.evals.records import Row
from weft.evals.reports.section import ReportSection
from weft.evals.results import Result
from weft.evals.statistics import share
from weft.search.calibration.isotonic import auc
from weft.search.collaboration.routing.asked import Asked
from weft.search.strategy import parse_strategy

PASSES = 0.5
"""The score from which an answer counts as passed."""


def verifiers(results: Sequence[Result]) -> ReportSection:
    """Of each strategy that asks a verifier, what became of what the verifier passed."""
    rows: list[list[str]] = []
    for result in results:
        scored = [row for row in result.rows if row.score is not None and row.answer is not None]
        if scored and _asks(result.strategy):
            rows.append([result.strategy, *_cells(scored)])
    return ReportSection(
        "Verifiers",
        ("strategy", "answers", "passed, %", "right, %", "passed of the wrong, %",
         "wrong of the passed, %", "AUC"),
        rows,
        "of the answers that strategies gave: passed has a score of at least a half by the "
        "strategy's own verifier, right is what the task says; passed of the wrong: the false "
        "positives of the verifier among answers that it chose, which are more than among all; "
        "AUC: how well scores tell right answers from wrong ones, 0.5 is chance",
    )  # fmt: skip


def _cells(rows: Sequence[Row]) -> list[str]:
    passed = [row for row in rows if (row.score or 0.0) >= PASSES]
    wrong = [row for row in rows if not row.correct]
    scores = [[r.score or 0.0 for r in rows if bool(r.correct) is kind] for kind in (True, False)]
    return [
        str(len(rows)),
        _share(rows, passed),
        _share(rows, [row for row in rows if row.correct]),
        _share(wrong, [row for row in passed if not row.correct]),
        _share(passed, [row for row in passed if not row.correct]),
        f"{auc(*scores):.2f}" if all(scores) else "",
    ]


def _share(of: Sequence[Row], those: Sequence[Row]) -> str:
    """The share of some rows, with its interval; nothing of none."""
    chosen = {row.key for row in those}
    return str(share([float(r.key in chosen) for r in of], [r.group for r in of])) if of else ""


def _asks(spec: str) -> bool:
    """Whether the scores of a strategy's answers are a verifier's."""
    try:
        one = parse_strategy(spec)
    except WeftError:  # a user's, which is not imported here
        return False
    while isinstance(one, Asked) and one.of is not None:
        one = one.of
    return "verifier" in one.needs
