"""Small Sudokus as a task: exact, without end, and as hard as their empty cells are many."""

from __future__ import annotations

import random
from typing import Literal

from weft.errors import UsageError
from weft.evals.tasks.puzzles.sudoku import BOXES, puzzle, shown
from weft.evals.tasks.task import Sample, Task, task
from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.search.readers import parse_reader
from weft.search.readers.grid import GridReader
from weft.search.strategy import Answer, Question, stable_seed

_ASK = (
    "Solve this Sudoku. Each row, each column and each box of {high} x {wide} cells holds the "
    "digits 1 to {size} once. Empty cells are written _.\n\n{grid}\n\nAnswer with the whole grid, "
    "one row a line, with spaces between the digits."
)
_VERIFY = (
    "\n\nAn answer, perhaps unfinished:\n{}\n\nIs it right as far as it goes? Answer yes or no."
)
_USUAL = 200
"""Puzzles where nobody says how many."""


@task("sudoku")
class SudokuTask(Task):
    """Fill a small Sudoku, which has one solution; an answer's rows can be checked one by one.

    Args:
        size: rows and columns.
        empty: how many cells are empty; half of all if 0. Puzzles for which so many would leave
            several solutions have fewer.
    """

    def __init__(self, size: Literal["4", "6", "9"] = "4", empty: int = 0) -> None:
        self.size = int(size)
        self.empty = empty or self.size**2 // 2
        if not 1 <= self.empty <= self.size**2:
            raise UsageError(f"empty={empty} of sudoku must be 1 to {self.size**2}")

    @property
    def spec(self) -> str:
        """With size and empty cells."""
        return f"sudoku(size={self.size}, empty={self.empty})"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """Puzzles drawn with `seed`, no two alike; 200 if there is no limit."""
        limit = _USUAL if limit is None else limit
        found: dict[str, Sample] = {}
        for number in range(20 * limit):
            if len(found) == limit:
                break
            rng = random.Random(stable_seed("sudoku", self.size, self.empty, seed, number))
            grid, solution = puzzle(self.size, self.empty, rng)
            text = shown(grid, self.size)
            data = {"grid": text, "answer": shown(solution, self.size)}
            found.setdefault(text, Sample(text.replace("\n", "/").replace(" ", ""), data))
        return list(found.values())

    def question(self, sample: Sample, seed: int) -> Question:
        """The puzzle, and the exact check of the rows so far."""
        high, wide = BOXES[self.size]
        asked = _ASK.format(high=high, wide=wide, size=self.size, grid=sample.data["grid"])
        reader = parse_reader(f"grid(size={self.size})")
        assert isinstance(reader, GridReader)
        right: list[str] = sample.data["answer"].split("\n")

        def rows(text: str) -> list[str]:
            lines = (visible(text) or "").splitlines()
            return [row for line in lines if (row := reader.row(line)) is not None]

        def verify(text: str) -> Prompt:
            return Prompt.user(asked + _VERIFY.format((visible(text) or "").strip()))

        return Question(
            prompt=Prompt.user(asked),
            steps="\n",
            max_tokens=256,
            max_think_tokens=2048,
            max_steps=2 * self.size,
            answer=reader,
            complete=lambda text: reader(text) is not None,
            verify=verify,
            check=lambda text: float(rows(text)[-self.size :] == right[: len(rows(text))]),
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the grid is the solution."""
        return answer.value == sample.data["answer"]

    def credit(self, sample: Sample, answer: Answer) -> float:
        """The share of the empty cells that are right; 0 where a given cell was changed."""
        if answer.value is None:
            return 0.0
        given = sample.data["grid"].split()
        right, said = sample.data["answer"].split(), answer.value.split()
        if any(g not in ("_", s) for g, s in zip(given, said, strict=True)):
            return 0.0
        empty = [at for at, one in enumerate(given) if one == "_"]
        return sum(said[at] == right[at] for at in empty) / len(empty)
