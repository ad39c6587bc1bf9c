"""Amounts: what numbers, fractions and sums of them are worth, and one way to write that.

The texts are those that `markup.flat` gives. All is exact: nothing is rounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from weft.search.readers.writing.arithmetic import Arithmetic, Unknown

_PLAIN = 60  # digits; a longer number is compared with its power of ten apart
_BEGIN = re.compile(
    r"(?<![\w.^])(?<!\^[({])[-+]?\.?\d|(?<=[^\W\d_]{3}\.)\d"
    r"|(?:(?<![\w)\]}])[-+])?(?:\\frac|\\sqrt|(?<![\w\\^])[(\[{])|(?<!\w)[√π]"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Something that is written as a number.

    Attributes:
        value: what it is worth; None if that is no rational number, or it is more than one.
        start: where it begins.
        end: where it ends.
    """

    value: Fraction | Decimal | None
    start: int
    end: int


def amount_at(text: str, at: int) -> Amount | None:
    """The longest amount that begins at a place; None if none does."""
    parser = Arithmetic(text)
    begin = parser.space(at)
    try:
        found = parser.sum(begin, 0)
    except Unknown as unknown:
        return Amount(None, begin, unknown.end)
    return None if found is None else Amount(found[0], begin, found[1])


def amounts(text: str) -> list[Amount]:
    """All amounts in a text, in order."""
    found: list[Amount] = []
    at = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        one = amount_at(text, begin.start())
        if one is None:
            at = begin.start() + 1
        else:
            found.append(one)
            at = max(one.end, begin.start() + 1)
    return found


def written(value: Fraction | Decimal) -> str:
    """An amount in the one way in which it is written: `0.5`, `1/3`, `-1200`, `25e70`."""
    if isinstance(value, Fraction):
        down = value.denominator
        for prime in (2, 5):
            while down % prime == 0:
                down //= prime
        if down != 1:
            return f"{value.numerator}/{value.denominator}"
        digits = 0
        while value.denominator != 1:
            value, digits = value * 10, digits + 1
        sign, coefficient, exponent = value < 0, str(abs(value.numerator)), -digits
    else:
        sign, figures, power = value.as_tuple()
        coefficient, exponent = "".join(map(str, figures)), int(power)
    # By hand, for `normalize` rounds to 28 digits.
    short = coefficient.rstrip("0")
    exponent += len(coefficient) - len(short)
    short = short.lstrip("0")
    if not short:
        return "0"
    minus = "-" if sign else ""
    if not -_PLAIN <= exponent <= _PLAIN:
        return f"{minus}{short}e{exponent}"
    if exponent >= 0:
        return minus + short + "0" * exponent
    short = short.rjust(1 - exponent, "0")
    return f"{minus}{short[:exponent]}.{short[exponent:]}"
