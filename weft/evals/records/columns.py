"""RowColumns: the rows of one strategy without their texts, a column for each thing known of them.

A row takes some 250 bytes here, and ten times as many as an object. Statistics go through rows one
by one, so they never need all of them as objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import isnan, nan
from operator import attrgetter
from typing import Any, cast, overload

from weft.evals.records.row import Row
from weft.types import Usage

_NUMBERS = {
    "seconds": "d", "at": "d", "repeat": "q", "drawn": "q", "right": "q", "tries": "q",
}  # fmt: skip
_MAYBE = ("score", "credit")
"""Numbers that a row may not have; NaN then."""
_USAGE = {
    "calls": "q", "prompt": "q", "cached": "q", "completion": "q", "cancelled": "q",
    "dollars": "d", "reasoning": "q",
}  # fmt: skip
_OBJECTS = ("id", "cluster", "answer", "vote", "error")
_numbers, _maybe, _usage, _objects = (
    attrgetter(*names) for names in (_NUMBERS, _MAYBE, _USAGE, _OBJECTS)
)


class RowColumns(Sequence[Row]):
    """Rows of one strategy; each is made anew when it is asked for.

    Args:
        strategy: their strategy's spec.
    """

    __slots__ = ("_chosen", "_correct", "_details", "_known", "_numbers", "_objects", "strategy")

    def __init__(self, strategy: str) -> None:
        self.strategy = strategy
        kinds = {**_NUMBERS, **_USAGE, **dict.fromkeys(_MAYBE, "d")}
        self._numbers: dict[str, Any] = {name: array(kind) for name, kind in kinds.items()}
        self._objects: dict[str, list[Any]] = {name: [] for name in _OBJECTS}
        self._correct, self._chosen = array("b"), array("q")
        self._details: list[tuple[tuple[str, Any], ...]] = []
        self._known: dict[Any, Any] = {}
        """Texts and details that have come, so that equal ones are kept once."""

    def add(self, row: Row) -> None:
        """Add what statistics are made of."""
        same = self._same
        maybe = [nan if value is None else value for value in _maybe(row)]
        numbers = *_numbers(row), *_usage(row.usage), *maybe
        for column, value in zip(self._numbers.values(), numbers, strict=True):
            column.append(value)
        for column, value in zip(self._objects.values(), _objects(row), strict=True):
            column.append(same(value))
        self._correct.append(-1 if row.correct is None else row.correct)
        self._chosen.append(-1 if row.chosen is None else row.chosen)
        self._details.append(same(tuple(row.plain_details.items())))

    def settled(self) -> tuple[RowColumns, int]:
        """The rows with a result in the order of ids and repeats, and how many have none.

        Of those of one sample and repeat the last counts.
        """
        ids, repeats = self._objects["id"], self._numbers["repeat"]
        order = sorted(range(len(self)), key=lambda i: (ids[i], repeats[i]))
        last = [
            i
            for i, after in zip(order, [*order[1:], -1], strict=True)
            if after < 0 or ids[i] != ids[after] or repeats[i] != repeats[after]
        ]
        found = RowColumns(self.strategy)
        kept = [i for i in last if self._correct[i] >= 0]
        for name, column in self._numbers.items():
            found._numbers[name].extend(map(column.__getitem__, kept))
        for name, objects in self._objects.items():
            found._objects[name] = [objects[i] for i in kept]
        found._correct = array("b", map(self._correct.__getitem__, kept))
        found._chosen = array("q", map(self._chosen.__getitem__, kept))
        found._details = [self._details[i] for i in kept]
        return found, len(last) - len(kept)

    def keys(self) -> Iterator[tuple[str, int]]:
        """The key of each row."""
        return zip(self._objects["id"], self._numbers["repeat"], strict=True)

    def _same(self, value: Any) -> Any:
        """An equal value that has come before, or else this one."""
        try:
            known = self._known.setdefault(value, value)
        except TypeError:
            return value
        return known if type(known) is type(value) else value

    def _row(self, i: int) -> Row:
        numbers, objects = self._numbers, self._objects
        score, credit = numbers["score"][i], numbers["credit"][i]
        correct, chosen = self._correct[i], self._chosen[i]
        return Row(
            self.strategy,
            objects["id"][i],
            None if correct < 0 else bool(correct),
            objects["answer"][i],
            None if isnan(score) else score,
            dict(self._details[i]),
            Usage(*[numbers[name][i] for name in _USAGE]),
            numbers["seconds"][i],
            objects["error"][i],
            credit=None if isnan(credit) else credit,
            cluster=objects["cluster"][i],
            repeat=numbers["repeat"][i],
            drawn=numbers["drawn"][i],
            right=numbers["right"][i],
            vote=objects["vote"][i],
            chosen=None if chosen < 0 else chosen,
            at=numbers["at"][i],
            tries=numbers["tries"][i],
        )

    def __len__(self) -> int:
        return len(self._correct)

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, range(len(self)))

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | Sequence[Row]:
        places = range(len(self))[at]
        return self._row(places) if isinstance(places, int) else tuple(map(self._row, places))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowColumns | tuple):
            return NotImplemented
        rows = cast("Sequence[Row]", other)
        return len(self) == len(rows) and all(a == b for a, b in zip(self, rows, strict=True))

    __hash__ = None  # pyright: ignore[reportAssignmentType]
