"""Arithmetic as texts write it: sums, products, powers and fractions, computed exactly."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from math import isqrt

_MOST = 400  # digits of what is computed with
_DEEP = 8  # brackets within brackets

_DIGITS = re.compile(
    r"(?P<groups>(?!0)\d{1,3}(?:,\s?\d{3})+(?!\d|,\d)|\d{1,2}(?:,\d\d)+,\d{3}(?!\d)"
    r"|\d{1,3}(?:['’\u00a0 ]\d{3})+(?![\d/]|\s*\\frac))(?P<part>[.]\d+|(?<=[’'\u00a0 ]\d{3}),\d+)?"  # noqa: RUF001
    r"|(?P<dots>\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}(?![\d]))"
    r"|(?<!\d,)(?P<comma>(?:0|\d{4,}|\d+(?=,(?:\d\d?|\d{4,})(?!\d))),\d+)(?!\d|,\d)"
    r"|\d+(?:\.\d+)?|\.\d+"
)
_EXPONENT = re.compile(r"[eE][-+]?\d{1,6}(?!\w)")
_MIXED = re.compile(r"\s+(?:and\s+)?(\d+)\s*/\s*(\d+)(?![\d.,]*\d|\s*[*=])")
_SCALE = re.compile(r"[\s-]*(hundred|thousand|million|billion|trillion|dozen)\b|([kK])\b", re.I)
_SCALES = {
    "hundred": 100, "thousand": 10**3, "k": 10**3, "million": 10**6, "billion": 10**9,
    "trillion": 10**12, "dozen": 12,
}  # fmt: skip
_UNKNOWN = re.compile(
    r"\s?(?:\\sqrt|\\pi|\\log|\\ln|\\sin|\\cos|[√π])|[xyznkiab](?![A-Za-z])|:\d|\s[eE][-+]?\d"
)
_PAIR = re.compile(r"\s*[-+]?\d+,\d{1,2}(?!\d)")
_SPACE = re.compile(r"[\s\u00a0]*")


class Unknown(Exception):
    """It is written as a number, and has no value."""

    def __init__(self, end: int) -> None:
        self.end = end


Value = Fraction | Decimal


def _minus(value: Value) -> Value:
    # The minus of Decimal rounds to 28 digits.
    return value.copy_negate() if isinstance(value, Decimal) else -value


_Found = tuple[Value, int] | None


class Arithmetic:
    """Reads sums, products, powers and fractions; stops where the text goes on otherwise."""

    def __init__(self, text: str) -> None:
        self.text = text

    def space(self, at: int) -> int:
        """Where the next thing begins that is no space."""
        match = _SPACE.match(self.text, at)
        return at if match is None else match.end()

    def sum(self, at: int, depth: int) -> _Found:
        """The value of the longest sum that begins at a place, and where the sum ends.

        Args:
            at: the place.
            depth: how many brackets are open.

        Raises:
            Unknown: what is written there has no value.
        """
        found = self._product(at, depth)
        while found is not None:
            value, end = found
            op = self.space(end)
            sign = self.text[op : op + 1]
            if sign not in ("+", "-", "±") or not sign:
                break
            # `18 -3` and a list's dash: an operator stands alone, or touches both sides.
            if (op > end) != (self.text[op + 1 : op + 2] in (" ", "\u00a0", "\\")):
                break
            if "\n" in self.text[end:op]:
                break
            term = self._product(op + 1, depth)
            if term is None:
                break
            if sign == "±":
                raise Unknown(term[1])
            a, b = self._exact(value, term[1]), self._exact(term[0], term[1])
            found = (a + b if sign == "+" else a - b), term[1]
        return found

    def _product(self, at: int, depth: int) -> _Found:
        found = self._signed(at, depth)
        while found is not None:
            value, end = found
            op = self.space(end)
            sign = self.text[op : op + 1]
            if sign == "x" and not (op > end and self.text[op + 1 : op + 2] == " "):
                break
            if sign not in ("*", "/", "x") or not sign or "\n" in self.text[end:op]:
                break
            factor = self._signed(op + 1, depth)
            if factor is None:
                break
            a, b = self._exact(value, factor[1]), self._exact(factor[0], factor[1])
            if sign == "/":
                if not b:
                    raise Unknown(factor[1])
                found = a / b, factor[1]
            else:
                found = a * b, factor[1]
        return found

    def _signed(self, at: int, depth: int) -> _Found:
        at = self.space(at)
        sign = self.text[at : at + 1]
        if sign == "±":
            found = self._power(self.space(at + 1), depth)
            if found is None:
                return None
            raise Unknown(found[1])
        if sign in ("-", "+") and sign:
            found = self._power(self.space(at + 1), depth)
            if found is None:
                return None
            return (_minus(found[0]) if sign == "-" else found[0]), found[1]
        return self._power(at, depth)

    def _power(self, at: int, depth: int) -> _Found:
        found = self._base(at, depth)
        if found is None:
            return None
        value, end = found
        after = self.space(end)
        if self.text[after : after + 1] != "^":
            return found
        raised = self._group(after + 1, depth) or self._signed(after + 1, depth + 1)
        if raised is None:
            return found
        exponent, end = raised
        exponent = self._exact(exponent, end)
        base = self._exact(value, end)
        if exponent.denominator != 1:
            raise Unknown(end)
        size = max(len(str(abs(base.numerator))), len(str(base.denominator)))
        if abs(exponent) * size > _MOST * 2 or (not base and exponent < 0):
            raise Unknown(end)
        return base ** int(exponent), end

    def _group(self, at: int, depth: int) -> _Found:
        """What braces hold, or one digit, as LaTeX reads it."""
        at = self.space(at)
        if self.text[at : at + 1] == "{":
            if depth > _DEEP or (found := self.sum(at + 1, depth + 1)) is None:
                return None
            end = self.space(found[1])
            return (found[0], end + 1) if self.text[end : end + 1] == "}" else None
        return None

    def _argument(self, at: int, depth: int) -> _Found:
        """What a command of LaTeX takes: braces, or one digit."""
        at = self.space(at)
        if self.text[at : at + 1].isdigit():
            return Fraction(int(self.text[at])), at + 1
        return self._group(at, depth)

    def _base(self, at: int, depth: int) -> _Found:
        text = self.text
        if depth > _DEEP:
            return None
        if text.startswith("\\frac", at):
            return self._fraction(at, depth)
        if text.startswith("\\sqrt", at):
            return self._root(at, depth)
        if text[at : at + 1] in ("√", "π") and text[at : at + 1]:
            raise Unknown(at + 1)
        if text[at : at + 1] in ("(", "[", "{"):
            return self._bracket(at, depth)
        return self._number(at, depth)

    def _fraction(self, at: int, depth: int) -> _Found:
        up = self._argument(at + 5, depth)
        if up is None:
            return self._odd(at)
        down = self._argument(up[1], depth)
        if down is None:
            return self._odd(at)
        if not down[0]:
            raise Unknown(down[1])
        value = self._exact(up[0], up[1]) / self._exact(down[0], down[1])
        return self._bare(value, down[1])

    def _root(self, at: int, depth: int) -> _Found:
        inside = self._argument(at + 5, depth)
        if inside is None:
            return self._odd(at)
        value = self._exact(inside[0], inside[1])
        if value < 0:
            raise Unknown(inside[1])
        up, down = isqrt(value.numerator), isqrt(value.denominator)
        if up * up != value.numerator or down * down != value.denominator:
            raise Unknown(inside[1])
        return self._bare(Fraction(up, down), inside[1])

    def _odd(self, at: int) -> _Found:
        """A command of LaTeX whose arguments are no amounts."""
        end, depth = at + 5, 0
        while end < len(self.text) and (depth or self.text[end] in "{["):
            depth += (self.text[end] in "{[") - (self.text[end] in "}]")
            end += 1
        raise Unknown(end)

    def _bracket(self, at: int, depth: int) -> _Found:
        found = self.sum(at + 1, depth + 1)
        if found is None:
            return None
        end = self.space(found[1])
        if _PAIR.match(self.text, at + 1):
            raise Unknown(end + 1)  # `(1,2)` is a pair
        if self.text[end : end + 1] in (")", "]", "}"):
            return self._bare(found[0], end + 1)
        if self.text[end : end + 1] == ",":
            other = self.sum(end + 1, depth + 1)
            if other is not None and self.text[self.space(other[1]) :][:1] in (")", "]", "}", ","):
                raise Unknown(other[1] + 1)
        return None

    def _number(self, at: int, depth: int) -> _Found:
        match = _DIGITS.match(self.text, at)
        if match is None:
            return None
        end, written = match.end(), match[0]
        if match["dots"]:
            written = written.replace(".", "").replace(",", ".")
        elif match["comma"]:
            written = written.replace(",", ".")
        elif match["groups"]:
            part = (match["part"] or "").replace(",", ".")
            written = re.sub(r"\D", "", match["groups"]) + part
        if (exponent := _EXPONENT.match(self.text, end)) is not None:
            written += exponent[0]
            end = exponent.end()
        value: Value = Decimal(written)
        if (mixed := _MIXED.match(self.text, end)) is not None and written.isdigit():
            up, down = int(mixed[1][:_MOST]), int(mixed[2][:_MOST])
            if down and up < down:
                return self._exact(value, end) + Fraction(up, down), mixed.end()
        behind = self.space(end)
        if written.isdigit() and self.text.startswith("\\frac", behind):
            part = self._fraction(behind, depth)
            if part is not None and 0 < part[0] < 1:
                return self._exact(value, end) + self._exact(part[0], part[1]), part[1]
            raise Unknown(behind + 5 if part is None else part[1])
        if (scale := _SCALE.match(self.text, end)) is not None:
            factor = _SCALES[(scale[1] or scale[2]).lower()]
            return self._bare(self._exact(value, end) * factor, scale.end())
        return self._bare(value, end)

    def _bare(self, value: Value, end: int) -> _Found:
        """An amount that nothing follows which makes another of it, such as `x` or `π`."""
        if (unknown := _UNKNOWN.match(self.text, end)) is not None:
            raise Unknown(unknown.end())
        return value, end

    def _exact(self, value: Value, end: int) -> Fraction:
        if isinstance(value, Decimal):
            _, digits, exponent = value.as_tuple()
            if len(digits) + abs(int(exponent)) > _MOST:
                raise Unknown(end)
            return Fraction(value)
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > 4 * _MOST:
            raise Unknown(end)
        return value
