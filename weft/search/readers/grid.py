"""Grids of digits, such as a Sudoku's: the last one in a text."""

from __future__ import annotations

import re

from weft.parts.parameters import param
from weft.search.readers.reader import Reader, reader

_RULE = re.compile(r"[\s|+:=_-]*")
"""Lines between rows, as tables and drawn boxes have them."""


@reader("grid")
class GridReader(Reader):
    """The last grid of digits in a text, whatever is drawn around the digits."""

    size: int = param(4, "rows and columns", least=1, most=9)

    def read(self, text: str) -> str | None:
        """The grid, a row a line; None if no grid is whole, or a cell is empty."""
        grids: list[list[str]] = [[]]
        for line in text.splitlines():
            if (row := self.row(line)) is not None:
                grids[-1].append(row)
            elif _RULE.fullmatch(line) is None or not line.strip():
                grids.append([])
        whole = [rows for rows in grids if len(rows) >= self.size]
        return "\n".join(whole[-1][-self.size :]) if whole else None

    def row(self, line: str) -> str | None:
        """The digits of a line that is a row; None of any other line."""
        if re.fullmatch(r"[\s\d|,;\[\]()*`>]*", line) is None:
            return None
        digits = re.findall(r"\d", line)
        right = len(digits) == self.size and all("1" <= d <= str(self.size) for d in digits)
        return " ".join(digits) if right else None
