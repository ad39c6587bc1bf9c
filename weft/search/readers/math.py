"""Mathematics: formulas, sets, intervals and equations, compared by computer algebra."""

from __future__ import annotations

import re

from weft.extras import need
from weft.search.readers.math_process import PROCESS, same_formula
from weft.search.readers.number import is_number, last_amount, number
from weft.search.readers.reader import Reader, reader
from weft.search.readers.text import plain
from weft.search.readers.writing.amount import amount_at
from weft.search.readers.writing.markup import flat
from weft.search.readers.writing.stated import Cut, box, statements

_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_WORDS = re.compile(r"[^\W\d_]{2,}")
_UNIT = re.compile(
    r"\s*[%°]?\s*(?:(?!(?:or|and|to)\b)[^\W\d_]{2,}(?:/[^\W\d_]+)?(?:\^\(?-?\d\)?)?\s*){0,3}"
)
_LIST = re.compile(r"(?<![\d,])\d+,\d{1,2}(?!\d)")
"""A comma that is no mark of thousands parts two numbers here."""
_LONGEST = 400
"""Letters of a formula; longer ones are compared as texts."""


@reader("math")
class MathReader(Reader):
    r"""The formula that a text states as its answer, else its last: `\frac{x}{2}` is `x/2`.

    Numbers compare as the reader `number` does it, everything else by math-verify (extra `math`).
    """

    slow = True

    def __post_init__(self) -> None:
        super().__post_init__()
        need("math", "the reader math")

    def read(self, text: str) -> str | None:
        """The formula; numbers in the form of the reader `number`."""
        try:
            found = self._found(text)
        except Cut:
            return None
        if found is not None and not is_number(found):
            PROCESS.start()
        return found

    def read_alone(self, text: str) -> str | None:
        """The formula that a text is."""
        try:
            inside = box(text)
        except Cut:
            inside = None
        return _formula(text if inside is None else inside)

    def same(self, a: str, b: str) -> bool:
        """Whether computer algebra finds no difference."""
        if is_number(a) and is_number(b):
            return False  # they are exact
        if "".join(a.split()) == "".join(b.split()):
            return True
        if max(len(a), len(b)) > _LONGEST or (_is_text(a) and _is_text(b)):
            return False
        return same_formula(a, b)

    @staticmethod
    def _found(text: str) -> str | None:
        if (inside := box(text)) is not None:
            return _formula(inside)
        for one in statements(text):
            if (found := _formula(one.first)) is not None and (one.sure or not _is_text(found)):
                return found
        if formulas := _formulas(text):
            return _formula(formulas[-1])
        found = last_amount(text)
        return number(text) if found is not None else None


def _formulas(text: str) -> list[str]:
    return [next(filter(None, groups)) for groups in _FORMULA.findall(text)]


def _formula(text: str) -> str | None:
    """A statement as a formula: without prose around it, without units behind a number."""
    text = text.strip().removesuffix("</answer>").strip("*_ ").removesuffix(".")
    formulas = _formulas(text)
    if formulas:
        around = _FORMULA.sub(" ", text)
        several = not _WORDS.search(re.sub(r"\b(?:and|or)\b", "", around))
        text = ", ".join(formulas) if several else formulas[-1]
    text = re.sub(r"\\[()\[\]]|\\?\$", "", text).strip().removesuffix(".").strip()
    text = text.replace("\\varnothing", "\\emptyset")
    if _LIST.search(text):
        return " ".join(text.split())
    if is_number(text) or _measured(text):
        return number(text)
    words = plain(text)
    if words is not None and _is_text(words):
        return words.casefold()
    text = re.sub(r"^\\text(?:bf|rm)?\{([^{}]*)\}$", r"\1", text)
    text = re.sub(r"\s+(?:and|or)\s+", ", ", text)
    return " ".join(text.split()) or None


def _measured(text: str) -> bool:
    """Whether a text is a number and its unit; one letter may be a variable, and is none."""
    line = flat(text).strip()
    found = amount_at(line, 0)
    return (
        found is not None
        and found.value is not None
        and _UNIT.fullmatch(line[found.end :]) is not None
    )


def _is_text(text: str) -> bool:
    """Whether there are only words in it."""
    return (
        not re.search(r"[\d\\^=<>+*/{}()\[\]|∞≤≥]", flat(text)) and _WORDS.search(text) is not None
    )
