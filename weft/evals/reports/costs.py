"""What the strategies of an evaluation cost besides tokens, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from weft.backends.simulated.roofline import ModelShape
from weft.evals.costs.cost_of_pass import cost_of_pass, frontier, problem_costs
from weft.evals.costs.kinetics import usage_cost
from weft.evals.records import Session
from weft.evals.reports.section import ReportSection
from weft.evals.results import Result
from weft.evals.statistics import mean

UNKNOWN = "unavailable"


def costs(results: Sequence[Result], session: Session) -> ReportSection:
    """Tokens, dollars and energy of a right answer, and a GPU's work for a problem."""
    shown = [r for r in results if r.n]
    shape = ModelShape(**session.shape) if session.shape else None
    rows = [
        [
            r.strategy,
            _number(cost_of_pass([r.computed], [r.accuracy])),
            _number(cost_of_pass([r.usage.dollars / r.n], [r.accuracy])) if r.usage.dollars else "",
            UNKNOWN if shape is None else _eflops(shape, r),
            UNKNOWN if r.strategy not in session.joules else _joules(r, session),
            _per_watt(r, session),
        ]
        for r in shown
    ]
    columns = ["strategy", "tokens", "dollars", "eTFLOP a problem", "joules a problem", "% a watt"]
    if not any(row[2] for row in rows):
        rows, columns = [row[:2] + row[3:] for row in rows], columns[:2] + columns[3:]
    if not any(row[-1] for row in rows):
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    notes = (
        "tokens: that are computed for one right answer, in the mean (cost-of-pass, Erol et al. "
        "2025)"
    )
    if len(shown) > 1:
        cheapest = frontier({r.strategy: problem_costs(r) for r in shown})
        solved = [cost for cost in cheapest.values() if cost < math.inf]
        if solved:
            notes += (
                f"; with the cheapest strategy for each problem {_number(mean(solved))}, over the "
                f"{len(solved)} of {len(cheapest)} that any solved"
            )
        else:
            notes += "; no problem was solved"
    notes += (
        "; eTFLOP: arithmetic, and KV cache read, at 562.5 FLOP a byte (Kinetics, Sadhukhan et "
        "al. 2025), as if the calls of a problem were alike"
    )
    notes += "; joules: of the whole machine, where engines run on it and it can be read"
    if "% a watt" in columns:
        notes += (
            "; % a watt: accuracy by its mean power meanwhile (intelligence per watt, Saad-Falcon "
            "et al. 2025)"
        )
    return ReportSection("Costs", columns, rows, notes)


def _eflops(shape: ModelShape, result: Result) -> str:
    return _number(mean([usage_cost(shape, r.usage).eflops for r in result.rows]) / 1e12)


def _joules(result: Result, session: Session) -> str:
    return _number(session.joules[result.strategy] / result.n)


def _per_watt(result: Result, session: Session) -> str:
    """Accuracy by the mean power while the strategy ran."""
    joules = session.joules.get(result.strategy, 0.0)
    seconds = session.seconds.get(result.strategy, 0.0)
    return _number(100 * result.accuracy * seconds / joules) if joules and seconds else ""


def _number(value: float) -> str:
    """With three digits at least; infinity as what it is."""
    if value == math.inf:
        return "infinite"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
