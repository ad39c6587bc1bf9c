"""Numbers: the one that a text states as its answer, or else the last one in it."""

from __future__ import annotations

import re
from fractions import Fraction

from weft.search.readers.reader import Reader, reader
from weft.search.readers.writing.amount import Amount, amount_at, amounts, written
from weft.search.readers.writing.markup import flat
from weft.search.readers.writing.number_words import spelled
from weft.search.readers.writing.stated import Cut, Statement, box, statements

_FILLER = re.compile(
    r"(?:[\s\u00a0*_>#`\"':≈~=]|\.(?!\d)|\\[,;: ]|\b(?:approximately|about|around|roughly|exactly|"
    r"only|just|simply|indeed|therefore|thus|precisely|nearly|almost|equal to|equals|is|are|a|"
    r"total|of|at least|at most|approx|ca|circa|etwa|environ|"
    r"unos?|rs|usd|eur|gbp|inr|us|option|:)\b\.?)*",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"(?:minus|negative)\s+(?=\d)", re.IGNORECASE)
_UNIT = r"(?:\s*[%°]?\s*(?:[^\W\d_]+(?:/[^\W\d_]+)?(?:\^\(?-?\d\)?)?\s*){0,3}?)"
_EQUALS = re.compile(rf"{_UNIT}\s*[=≈]\s*")
_MORE = re.compile(
    rf"{_UNIT}\s*(?:,|;|\bor\b|\band\b|/|&|\bto\b|±)\s*(?:and|or)?\s*(?:[a-z]\s*=\s*)?"
)
_RESTATED = re.compile(rf"{_UNIT}\s*\(\s*(?:or|about|i\.e\.,?|which is|[≈=])?\s*", re.IGNORECASE)
_GOES_ON = re.compile(
    rf"{_UNIT}\s*\b(?:times|plus|minus|divided by|multiplied by|more than|less than|out of the)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(r"(?<![\w\\])([a-zA-Z])\s*=(?!=)")
_IS = re.compile(
    r"(?:\b(?:is|are|was|were|equals|costs?|makes?|made|gets?|has|have|had|needs?|earns?|be|ist|"
    r"est|es)|[=≈:]|→)[\s*_]*(?:\b(?:about|approximately|exactly|only|a total of|equal to)\b)?"
    r"[\s*_$]*$",
    re.IGNORECASE,
)
_COMPARED = re.compile(r"[<>≤≥≠]\s*=?\s*$")
_BOLD = re.compile(r"\*\*([^*\n]{1,60})\*\*")
_BARE = re.compile(rf"{_UNIT}[.!\s]*")
_REFUSES = re.compile(
    r"\b(?:can ?not|can['’]t|could ?n[o']t|unable to|do(?:es)? ?n[o'’]t know|not possible|"  # noqa: RUF001
    r"impossible to|insufficient|not enough|not sure|undefined|unknown|no (?:real )?solutions?|"
    r"cannot be determined|I have no)\b",
    re.IGNORECASE,
)
_CUT = re.compile(r"(?:[+=×÷/(,]|\\times|\\cdot|\\frac|(?<=\s)[-*])\s*$")  # noqa: RUF001
_TIMES = re.compile(r"[\d)] \*\s*$")  # not the end of something bold
_TAIL = 2000
_MOST = 10_000
"""Characters at a text's end that are looked through, at first and at most."""


@reader("number")
class NumberReader(Reader):
    r"""The number that a text states as its answer, else its last: `\frac12` is `0.5`.

    Numbers are exact. Units, percent signs and currencies don't count.
    """

    def read(self, text: str) -> str | None:
        """The number; None if there is none, or the text states several or something else."""
        try:
            found = _boxed_or_stated(text)
            return last_number(text) if found is None else _text(found)
        except Cut:
            return None


def number(text: str) -> str | None:
    """What the reader `number` reads in a text: `1200` in `1,200.0`."""
    return NumberReader().read(text)


def is_number(text: str) -> bool:
    """Whether a text is a number and nothing else, but for units of a sign such as `$` or `%`."""
    plain = flat(text).strip()
    found = amount_at(plain, 0)
    return found is not None and found.value is not None and plain[found.end :].strip() in ("", "%")


def _text(found: Amount) -> str | None:
    return None if found.value is None else written(found.value)


_NONE = Amount(None, 0, 0)


def _boxed_or_stated(text: str) -> Amount | None:
    """The amount in a box or a statement; without a value if something else is stated."""
    if (inside := box(text)) is not None:
        return stated(inside) or _NONE
    for one in statements(text):
        found = _of_statement(one)
        if found is not None:
            return found
    return None


def _of_statement(one: Statement) -> Amount | None:
    found = stated(one.first)
    if found is not None and (one.line.strip() or bare_amount(one.first)):
        return found
    if not one.line.strip() and (found := last_amount(one.rest)) is not None:
        return found
    if not one.sure:
        return None
    if _REFUSES.search(one.first):
        return _NONE
    return last_amount(one.rest) or _NONE


def bare_amount(line: str) -> bool:
    """Whether a line is an amount with a value, and perhaps a unit, and nothing else."""
    found = _amount_first(flat(line).strip())
    return found is not None and not re.search(
        r"[=:]|\w+\s+\w+\s+\w+", flat(line).strip()[found.end :]
    )


def _amount_first(line: str) -> Amount | None:
    begin = _FILLER.match(line)
    return amount_at(line, 0 if begin is None else begin.end())


def stated(line: str) -> Amount | None:
    """The amount that a statement means: the one it begins with, or what its words come to.

    Without a value if it names several, or an amount that is no rational number; None if it
    names none.
    """
    bold = _BOLD.search(line)
    line = flat(line).removesuffix("</answer>").strip()
    line = _NEGATIVE.sub("-", line)
    begin = _FILLER.match(line)
    at = 0 if begin is None else begin.end()
    found = amount_at(line, at)
    if found is not None and not _GOES_ON.match(line, found.end):
        return _several(line, _chained(line, found))
    if (spelt := spelled(line[at:])) is not None:
        return Amount(spelt, at, at)
    return _in_words(line, bold)


def _chained(line: str, found: Amount) -> Amount:
    """The end of a chain such as `12 * 3 = 36`."""
    while (equals := _EQUALS.match(line, found.end)) is not None:
        further = amount_at(line, equals.end())
        if further is None:
            break
        found = further
    return found


def _several(line: str, found: Amount) -> Amount:
    """The amount, without a value if more follow it as further answers."""
    more = _MORE.match(line, found.end)
    if more is not None and more.end() > found.end:
        other = amount_at(line, more.end())
        if (
            other is not None
            and other.start == more.end()
            and other.value != found.value
            and not _percent_of(line, other, found)
        ):
            unit = line[found.end : more.end()]
            behind = line[other.end : other.end + 40]
            if not re.search(r"\w", unit.replace("or", "").replace("and", "")) or not re.search(
                r"[a-z]", behind
            ):
                return Amount(None, found.start, other.end)
    return found


def _percent_of(line: str, other: Amount, found: Amount) -> bool:
    """Whether an amount tells the one before it again as a percentage: `3/4, or 75%`."""
    if other.value is None or found.value is None or line[other.end : other.end + 1] != "%":
        return False
    return Fraction(other.value) == 100 * Fraction(found.value)


def _in_words(line: str, bold: re.Match[str] | None) -> Amount | None:
    """The amount in a sentence: bold, behind `is` or `=`, or the last."""
    if bold is not None and (one := stated(bold[1])) is not None and one.value is not None:
        return one
    found = amounts(line)
    if not found:
        return None
    named = len(_NAMED.findall(line)) > 1 and len({one.value for one in found}) > 1
    if named or _REFUSES.search(line) or _pair(line, found):
        return _NONE
    meant = [one for one in found if _IS.search(line[: one.start])]
    one = meant[-1] if meant else _unrestated(line, found)
    if _COMPARED.search(line[: one.start]):
        return _NONE
    return _several(line, _chained(line, one)) if meant else one


def _unrestated(line: str, found: list[Amount]) -> Amount:
    """The last amount, or what it tells again in brackets: `0.25 (25%)`."""
    at = len(found) - 1
    while at and _RESTATED.fullmatch(line, found[at - 1].end, found[at].start):
        at -= 1
    return found[at]


def _pair(line: str, found: list[Amount]) -> bool:
    """Whether the last amount is one of two that `and`, `or` or `to` joins."""
    if len(found) < 2 or found[-1].value == found[-2].value:
        return False
    return _MORE.fullmatch(line, found[-2].end, found[-1].start) is not None


def last_number(text: str) -> str | None:
    """The last number in a text, where nothing states which one is the answer."""
    found = last_amount(text)
    return None if found is None else _text(found)


def last_amount(text: str) -> Amount | None:
    """The last amount in a text; without a value if the text breaks off behind it, or refuses."""
    tail = text[-_TAIL:]
    if _CUT.search(tail.rstrip("*_ \n$") or text[-1:]) or _TIMES.search(tail):
        return _NONE
    paragraph = text.rstrip().rpartition("\n\n")[2]
    for bold in reversed(_BOLD.findall(paragraph)):
        one = stated(bold)
        if one is not None and _BARE.fullmatch(flat(bold).strip()[one.end :]):
            return one
    text = text[-_MOST:]
    for part in (text[-_TAIL:].partition("\n")[2], text) if len(text) > _TAIL else (text,):
        plain = _NEGATIVE.sub("-", flat(part))
        found = amounts(plain)
        if found:
            return _sentence(plain, _unrestated(plain, found))
    plain = flat(text)
    if (spelt := spelled(plain.strip())) is not None:
        return Amount(spelt, 0, 0)
    digits = re.findall(r"\d+", plain[-_TAIL:])  # within words, such as `e7`
    return amount_at(digits[-1], 0) if digits else None


def _sentence(text: str, found: Amount) -> Amount:
    """The amount, without a value where its sentence says that there is no answer."""
    start = max(text.rfind("\n", 0, found.start), text.rfind(". ", 0, found.start)) + 1
    end = re.compile(r"\.\s|\n|$").search(text, found.end)
    return _NONE if _REFUSES.search(text, start, end.start() if end else len(text)) else found
