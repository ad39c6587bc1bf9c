"""Small Sudokus: one solution each, the same for a seed, and an exact check."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.evals.tasks.puzzles.sudoku import peers, puzzle, solutions, unique
from weft.evals.tasks.registry import parse_task
from weft.search.readers.grid import GridReader
from weft.search.strategy import Answer


@given(st.integers(0, 1000), st.integers(1, 12), st.sampled_from([4, 6]))
def test_a_puzzle_has_one_solution(seed: int, empty: int, size: int) -> None:
    grid, solution = puzzle(size, empty, random.Random(seed))
    assert list(solutions(grid, size)) == [solution]
    assert grid.count(0) <= empty
    assert all(g in (0, s) for g, s in zip(grid, solution, strict=True))
    assert all(solution[a] != solution[b] for a, near in enumerate(peers(size)) for b in near)


def test_solutions_are_counted_exactly() -> None:
    assert sum(1 for _ in solutions([0] * 16, 4)) == 288  # of all grids of 4 (OEIS A107739)
    assert not unique([0] * 16, 4)


def test_the_task_is_seeded_and_judged_by_its_solution() -> None:
    task = parse_task("sudoku(size=4, empty=9)")
    samples = task.samples(20, 3)
    assert task.spec == "sudoku(size=4, empty=9)"
    assert samples == task.samples(20, 3)
    assert len({s.id for s in samples}) == 20
    assert not {s.id for s in task.samples(20, 4)} & {s.id for s in samples}
    sample = samples[0]
    question = task.question(sample, 0)
    right: str = sample.data["answer"]
    assert question.check is not None
    value = question.answer(f"So:\n\n{right}\n\nDone.")
    assert task.correct(sample, Answer("", value))
    first, *rest = right.split("\n")
    assert question.check(first + "\n") == 1.0
    wrong = first[::-1]
    assert question.check(wrong + "\n") == 0.0
    changed = "\n".join([wrong, *rest])
    assert not task.correct(sample, Answer("", changed))
    assert 0 <= task.credit(sample, Answer("", changed)) < 1
    assert task.credit(sample, Answer("", right)) == 1
    assert question.complete(right)
    assert not question.complete(first)
    with pytest.raises(UsageError, match=r"empty=17 of sudoku must be 1 to 16"):
        parse_task("sudoku(empty=17)")


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("1 2\n2 1", "1 2\n2 1"),
        ("12\n21", "1 2\n2 1"),
        ("+---+\n| 1 | 2 |\n|---|---|\n| 2 | 1 |\n+---+", "1 2\n2 1"),
        ("[[1, 2],\n [2, 1]]", "1 2\n2 1"),
        ("2 1\n1 2\n\nNo:\n1 2\n2 1", "1 2\n2 1"),
        ("1 _\n2 1", None),
        ("1 2", None),
        ("1 3\n2 1", None),
    ],
)
def test_the_last_grid_counts(text: str, grid: str | None) -> None:
    assert GridReader(size=2)(text) == grid
