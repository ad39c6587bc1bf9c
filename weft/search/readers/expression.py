"""Normal forms of arithmetic expressions, so that the same solution counts as one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "sum", "product"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A number, a signed sum or a product with divisors, flattened and sorted.

    `(17 - 9) + 4` and `4 + 17 - 9` have the same text; so have `6 / (3 / 2)` and `2 * 6 / 3`.

    Attributes:
        kind: what stands at the top.
        up: texts of the terms added, or of the factors multiplied; sorted.
        down: texts of the terms taken away, or of the divisors; sorted.
    """

    kind: Kind
    up: tuple[str, ...]
    down: tuple[str, ...] = ()

    @staticmethod
    def number(value: int) -> Expression:
        """A number by itself."""
        return Expression("number", (str(value),))

    @property
    def text(self) -> str:
        """The normal form as it is written."""
        plus, minus = (" + ", " - ") if self.kind == "sum" else (" * ", " / ")
        return plus.join(self.up) + "".join(minus + d for d in self.down)

    def _as(self, kind: Kind) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if self.kind == kind:
            return self.up, self.down
        return (f"({self.text})" if self.kind == "sum" else self.text,), ()

    def join(self, op: str, other: Expression) -> Expression:
        """This expression and another under one of `+ - * /`."""
        kind: Kind = "sum" if op in "+-" else "product"
        up, down = self._as(kind)
        more, less = other._as(kind)
        if op in "-/":
            more, less = less, more
        return Expression(kind, tuple(sorted(up + more)), tuple(sorted(down + less)))
