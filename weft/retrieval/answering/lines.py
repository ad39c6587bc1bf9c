"""What a model says in marked lines, such as `Query: bees` and `Final answer: 42`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

FINAL = r"(?:so,? )?(?:the )?(?:final )?answer(?: is)?"
"""How the line of a final answer begins, as a pattern."""

QUERY = r"(?:(?:refined |next |new |search )?quer(?:y|ies)|search)(?: \d+)?"
"""How the line of a query begins."""


class Marked(NamedTuple):
    """A part of a text that a mark opens.

    Attributes:
        mark: the name of the mark.
        text: what follows, up to the next mark.
    """

    mark: str
    text: str

    @property
    def line(self) -> str:
        """The first line of the text that is not empty, without quotes and stars around it."""
        lines = (bare(line) for line in self.text.splitlines())
        return next((line for line in lines if line), "")


def marked(text: str, **marks: str) -> list[Marked]:
    """The parts of a text that marks open, in their order.

    A mark stands at the beginning of a line or of a sentence, with a colon behind it, in any case,
    and may be set in bold.

    Args:
        text: what a model said.
        **marks: patterns of marks by name; where two fit, the first is taken.
    """
    found = list(_pattern(tuple(marks.items())).finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return [
        Marked(one.lastgroup or "", text[one.end() : end].strip())
        for one, end in zip(found, ends, strict=False)
    ]


def final(parts: Sequence[Marked]) -> str:
    """The answer of the last part that is marked as final; empty if none is."""
    return next((answer(one.text) for one in reversed(parts) if one.mark == "final"), "")


def answer(text: str) -> str:
    """An answer without the stars and quotes around it."""
    said = text.strip()
    return bare(said) if "\n" not in said else said


def bare(text: str) -> str:
    """A line without quotes, stars and backticks around it."""
    text = re.sub(r"^[*`]+|[*`]+(?=[.!?]?$)", "", text.strip()).strip()
    while len(text) > 1 and (text[0], text[-1]) in _QUOTES:
        text = text[1:-1].strip()
    return text


def same(one: str, other: str) -> bool:
    """Whether two short texts say the same but for case, spaces and marks around them."""
    return told(one) == told(other)


def told(text: str) -> str:
    """A short text without case, spaces and marks, to compare."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold())) or text.strip()


_QUOTES = {('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u00ab", "\u00bb"), ("<", ">")}


@lru_cache(maxsize=64)
def _pattern(marks: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    either = "|".join(f"(?P<{name}>{pattern})" for name, pattern in marks)
    before = r"(?:^[\s>*_#`\-\u2022]*|(?<=[.!?])[ \t]+\**)"
    behind = r"(?:[*`]*\s?[:\uff1a]|(?<=final answer is)(?=\s))[*`]*"
    return re.compile(f"{before}(?:{either}){behind}", re.I | re.M)


def lines_of(text: str) -> Iterator[str]:
    """The items of a list that a model wrote: by lines or semicolons, without numbers."""
    for piece in re.split(r"[;\n]+", text):
        item = bare(re.sub(r"^\s*(?:[-*\u2022]|\(?\d+[.):])\s+", "", piece))
        if re.search(r"[^\W_]", item):
            yield item
