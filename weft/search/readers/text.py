"""Texts: what a text states as its answer, or its last line."""

from __future__ import annotations

import re

from weft.parts.parameters import param
from weft.search.readers.reader import Reader, reader
from weft.search.readers.writing.markup import text_of
from weft.search.readers.writing.stated import Cut, box, statements

_HOPE = re.compile(r"\.?\s*I hope (?:it|this) is correct\.?$", re.IGNORECASE)
_SENTENCE = re.compile(r"(?:(?<=[^\W\d_]{4})|(?<=[\d)\"'%]))\.\s+(?=[A-Z])")
_REASON = re.compile(r",?\s+(?:because|since|as it|as this|which)\s", re.IGNORECASE)


@reader("text")
class TextReader(Reader):
    """What a text states as its answer, else its last line.

    Spaces, marks of emphasis, quotes around it, a final full stop and case don't count.
    """

    case: bool = param(False, "whether case counts")

    def read(self, text: str) -> str | None:
        """What is stated, up to the end of its sentence, or the last line."""
        try:
            found = stated_text(text)
        except Cut:
            return None
        if found is not None:
            return found
        lines = [line for line in text.split("\n") if re.search(r"\w", line)]
        lines = lines or [line for line in text.split("\n") if line.strip()]
        return plain(lines[-1]) if lines else None

    def read_alone(self, text: str) -> str | None:
        """All of the text, of however many lines."""
        return plain(text)

    def same(self, a: str, b: str) -> bool:
        """Whether they differ in case only, unless case counts."""
        return not self.case and a.casefold() == b.casefold()


def plain(text: str) -> str | None:
    """A text without markup, quotes around it, and a final full stop."""
    found = text_of(text)
    for _ in range(2):
        found = found.removesuffix(".").strip()
        if len(found) > 1 and found[0] + found[-1] in ('""', "''", "“”", "‘’", "«»", "„“", "「」"):  # noqa: RUF001
            found = found[1:-1].strip()
    return found or text.strip() or None


def stated_text(text: str) -> str | None:
    """What a text states as its answer; None if it states nothing.

    Raises:
        Cut: the text ends within what it states.
    """
    if (inside := box(text)) is not None:
        return plain(inside)
    for one in statements(text):
        line = _HOPE.sub("", one.first.removesuffix("</answer>"))
        if not line.strip():
            continue
        line = _SENTENCE.split(text_of(line), maxsplit=1)[0]
        return plain(_REASON.split(line, maxsplit=1)[0])
    return None
