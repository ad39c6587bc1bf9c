"""False alarms of reports; `benchmarks/false_alarms.py` counts them in a thousand suites."""

from __future__ import annotations

from false_alarms import Setting, claims, most, suite
from weft.evals.reports.findings import judged
from weft.evals.statistics.differences import LEVEL


def test_reports_of_equal_strategies_claim_nothing_more_often_than_stated() -> None:
    setting, suites = Setting(problems=40), 40
    evaluations = [suite(setting, seed) for seed in range(suites)]
    assert sum(claims(setting, e) > 0 for e in evaluations) <= most(suites, LEVEL)
    # The best of ten compared as if it had been chosen beforehand.
    alone = sum(any(d.difference.p <= LEVEL for d in judged(e).differences) for e in evaluations)
    assert alone > suites * LEVEL


def test_sweeps_of_equal_cells_claim_nothing_more_often_than_stated() -> None:
    setting, suites = Setting(problems=40, sweep=True), 40
    evaluations = [suite(setting, seed) for seed in range(suites)]
    assert sum(claims(setting, e) > 0 for e in evaluations) <= most(suites, LEVEL)
    assert all(judged(e).effects for e in evaluations)
    # Each setting judged as if it were the only one.
    alone = sum(any(f.difference.p <= LEVEL for f in judged(e).effects) for e in evaluations)
    assert alone > suites * LEVEL


def test_reports_of_clusters_of_equal_strategies_claim_nothing_more_often_than_stated() -> None:
    setting, suites = Setting(problems=20, alike=4), 40
    wrong = sum(claims(setting, suite(setting, seed)) > 0 for seed in range(suites))
    assert wrong <= most(suites, LEVEL)
