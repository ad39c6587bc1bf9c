"""What verifiers let pass that is wrong stands beside every result that rests on one."""

from __future__ import annotations

from weft.evals.records import Row
from weft.evals.reports.sections import sections
from weft.evals.reports.verifiers import verifiers
from weft.evals.results import Result
from weft.evals.statistics import share


def result(spec: str) -> Result:
    """Of ten answers six are right; five of these pass, and one of the four wrong ones."""
    scores = [0.9] * 5 + [0.2, 0.8, 0.1, 0.1, 0.4]
    rows = [Row(spec, str(i), i < 6, "x", score=score) for i, score in enumerate(scores)]
    return Result(spec, (*rows, Row(spec, "none", False)))


def test_false_positives_are_told_with_their_interval() -> None:
    spec = "asked(of=best_of_n(n=4), top_p=0.9)"
    (row,) = verifiers([result(spec), result("majority(n=4)"), result("gone.py:Gone")]).rows
    of = [str(share([1.0] * k + [0.0] * (n - k), range(n))) for k, n in ((6, 10), (1, 4), (1, 6))]
    assert list(row[:-1]) == [spec, "10", of[0], of[0], of[1], of[2]]
    # Pairs of a right and a wrong answer that are in order: 5 * 4, and 2 of the last right one's.
    assert row[-1] == f"{(5 * 4 + 2) / 24:.2f}"
    assert any(s.title == "Verifiers" for s in sections([result("best_of_n(n=2)")], []))
    assert not any(s.title == "Verifiers" for s in sections([result("majority(n=2)")], []))
