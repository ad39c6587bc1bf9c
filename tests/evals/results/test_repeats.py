from __future__ import annotations

from weft.evals.records import Row, Session, Settings
from weft.evals.reports.sections import sections
from weft.evals.results import Evaluation, gather
from weft.evals.results.repeats import drawn, repeated


def evaluation(answers: dict[str, str], spec: str = "greedy", right: str = "r") -> Evaluation:
    """One row for each letter of each problem's answers; `-` is none."""
    rows = [
        Row(spec, id, letter == right, None if letter == "-" else letter, repeat=i)
        for id, letters in answers.items()
        for i, letter in enumerate(letters)
    ]
    return gather(Settings("t", "", "m", 0), Session(), rows)


def test_worst_mean_best_and_majority_of_k() -> None:
    found = repeated(evaluation({"a": "rrrr", "b": "rwwr", "c": "wrrv", "d": "----"}).results[0])
    assert found is not None
    assert found.k == 4
    assert found.average.value == (1 + 0.5 + 0.5 + 0) / 4
    assert found.worst.value == 1 / 4
    assert found.best.value == 3 / 4
    assert found.majority.value == 3 / 4  # of equals the earliest: right for b
    assert found.draws.counts == ((4, 4), (4, 2), (4, 2), (4, 0))
    assert found.best.value == found.draws.at(4).value


def test_one_answer_to_each_is_no_repeat() -> None:
    alone = evaluation({"a": "r", "b": "w"}).results[0]
    assert repeated(alone) is drawn(alone) is None
    assert sections([alone], []) == []


def test_problems_with_fewer_are_left_out() -> None:
    answers = {str(i): "rw" for i in range(20)} | {"x": "r"}
    found = repeated(evaluation(answers).results[0])
    assert found is not None
    assert (found.k, found.left_out, len(found.problems)) == (2, 1, 20)


def test_what_a_strategy_drew_comes_before_its_repeats() -> None:
    rows = [
        Row("best_of_n(n=8)", str(i), i % 3 > 0, "x", repeat=j, drawn=8, right=i % 9)
        for i in range(9)
        for j in range(2)
    ]
    result = gather(Settings("t", "", "m", 0), Session(), rows).results[0]
    draws = drawn(result)
    assert draws is not None
    assert draws.ks == [1, 2, 4, 8]
    assert len(set(draws.clusters)) == 9
    repeats, coverage = sections([result], [])
    assert repeats.rows[0][1:3] == ["9", "2"]
    assert [row[1] for row in coverage.rows] == ["1", "2", "4", "8", "32"]
    assert coverage.rows[3][3]  # what the law said of the last
    assert coverage.rows[4][2].startswith("exp(-")


def test_repeats_of_one_problem_are_not_independent() -> None:
    answers = {str(i): ("r" if i % 2 else "w") * 16 for i in range(10)}
    (result,) = evaluation(answers).results
    assert result.n == 160
    assert result.share.high - result.share.low > 0.5  # as of 10, not of 160
