"""Small Sudokus: grids with one solution, made by a seed.

Every row, column and box holds each digit once. Of a grid of 4 the boxes are 2 x 2, of 6 they are
2 x 3, and of 9 they are 3 x 3.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache

Grid = tuple[int, ...]
"""The cells row by row; 0 is empty."""

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
"""Rows and columns of a box by the grid's size."""


@cache
def peers(size: int) -> tuple[frozenset[int], ...]:
    """For each cell the others in its row, column and box."""
    high, wide = BOXES[size]

    def places(at: int) -> tuple[int, int, int]:
        row, column = divmod(at, size)
        return row, column, row // high * high + column // wide

    cells = range(size * size)
    return tuple(
        frozenset(
            b
            for b in cells
            if a != b and any(x == y for x, y in zip(places(a), places(b), strict=True))
        )
        for a in cells
    )


def solutions(grid: Sequence[int], size: int, rng: random.Random | None = None) -> Iterator[Grid]:
    """All ways to fill a grid.

    Args:
        grid: the cells; none may clash.
        size: rows and columns.
        rng: shuffles the order of the solutions.
    """
    cells = list(grid)
    near = peers(size)

    def free(at: int) -> list[int]:
        taken = {cells[one] for one in near[at]}
        return [digit for digit in range(1, size + 1) if digit not in taken]

    def fill() -> Iterator[Grid]:
        empty = [at for at, digit in enumerate(cells) if not digit]
        if not empty:
            yield tuple(cells)
            return
        at = min(empty, key=lambda one: len(free(one)))
        digits = free(at)
        if rng is not None:
            rng.shuffle(digits)
        for digit in digits:
            cells[at] = digit
            yield from fill()
        cells[at] = 0

    yield from fill()


def unique(grid: Sequence[int], size: int) -> bool:
    """Whether a grid has one solution."""
    found = solutions(grid, size)
    return next(found, None) is not None and next(found, None) is None


def puzzle(size: int, empty: int, rng: random.Random) -> tuple[Grid, Grid]:
    """A grid with one solution, and the solution.

    Args:
        size: rows and columns.
        empty: how many cells are empty; fewer where no further cell can be.
        rng: what all chance comes from.
    """
    solution = next(solutions([0] * size * size, size, rng))
    cells = list(solution)
    order = list(range(size * size))
    rng.shuffle(order)
    for at in order:
        if cells.count(0) == empty:
            break
        kept, cells[at] = cells[at], 0
        if not unique(cells, size):
            cells[at] = kept
    return tuple(cells), solution


def shown(grid: Sequence[int], size: int) -> str:
    """A grid as text: a row a line, `_` where a cell is empty."""
    digits = [str(digit) if digit else "_" for digit in grid]
    return "\n".join(" ".join(digits[at : at + size]) for at in range(0, size * size, size))
