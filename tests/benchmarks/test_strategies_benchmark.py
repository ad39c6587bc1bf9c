from __future__ import annotations

from statistics import fmean

import strategies as benchmark
from weft.search import parse_strategy
from weft.search import strategies as registry


def measured(right: str, tokens: int) -> benchmark.Measured:
    return benchmark.Measured([mark == "+" for mark in right], [tokens] * len(right))


def test_every_strategy_is_run_and_both_bases_are_among_them() -> None:
    specs, bases = benchmark.specs(16)
    assert {parse_strategy(spec).name for spec in specs} == set(registry())
    assert bases == ["majority(n=16)", "best_of_n(n=16, verifier=model)"]
    assert set(bases) < set(specs)


def test_the_frontier_holds_what_nothing_cheaper_reaches() -> None:
    sums = {"a": measured("+---", 10), "b": measured("++--", 20), "c": measured("+---", 15)}
    assert benchmark.frontier(sums, lambda m: fmean(m.tokens)) == ["a", "b"]


def test_a_choice_on_one_half_is_told_as_it_is_on_the_other() -> None:
    sums = {"lucky": measured("+-+-+-", 10), "base": measured("++++++", 40)}
    said = benchmark.chosen(sums, "base")
    assert "lucky; on the other half -100.0 ± 0.0 points for 4.00x fewer tokens" in said
    assert "none" in benchmark.chosen(
        {"poor": measured("-+", 1), "base": measured("++", 4)}, "base"
    )
