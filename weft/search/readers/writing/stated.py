r"""Where a text states its answer: in a box, in tags, or behind words such as "the answer is".

All readers look there before they look anywhere else. What counts as a number, a choice or
whatever they read is theirs; where to look is the same for all:

1. the last `\boxed{...}`; boxes that only `and` or a comma parts are one;
2. the statements, the last first: `<answer>...</answer>`, `#### 18`, `Answer: ...` at a line's
   beginning, `the answer is ...` anywhere, in many languages, `18 is the answer`, and
   `{"answer": ...}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from weft.search.readers.writing.answer_words import ALONE, BEGINS, LINK, named
from weft.search.readers.writing.markup import unstruck

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?:\{|(?P<bare>\w+))")
_JOINS = re.compile(
    r"[\s$.]*(?:\\[()\]\[])*[\s$]*(?:,|;|and|or|und|et|y|\\text\{ ?(?:and|or) ?\}|\\quad|\\,)?"
    r"[\s$]*(?:\\[()\]\[])*[\s$]*"
)
_TAGS = re.compile(
    r"<answer>|^####(?=[ \t]*(?!\d+\.\s)(?:[-$€£\d.\\(]\S*(?: \S+)?|\S+)[ \t]*$)",
    re.IGNORECASE | re.MULTILINE,
)
_IFS = re.compile(
    r"\b(?:if|whether|unless|suppose|assume|check)\s+(?:the\s+)?(?:\w+\s+)?$", re.IGNORECASE
)
_BEFORE = re.compile(
    r"(?:^|[.:!]\s+|\b(?:so|thus|hence|therefore|that),?\s+)"
    r"(?P<value>[^\s.:!,;]\S*(?:\s[^\s.:!,;]+)?)"
    r"\s+is\s+(?:indeed\s+|therefore\s+|thus\s+)?(?:the|my|our)\s+(?:(?:final|correct|right)\s+)*"
    r"answer\b(?!\s+(?:key|choice|option|sheet|to)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_NOT = re.compile(r"\s*(?:not|n't|neither|in the|as follows|here|nicht|pas|no es)\b", re.IGNORECASE)
_LONGEST = 20_000
"""Characters at a text's end in which statements are looked for."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a text states as its answer.

    Attributes:
        line: the rest of the line; empty if the answer is on lines of its own.
        rest: what follows the line.
        sure: it can be nothing else than a statement, as `Answer:` at a line's beginning is.
    """

    line: str
    rest: str
    sure: bool

    @property
    def first(self) -> str:
        """The line, or the first one that follows and has letters or digits."""
        if self.line.strip():
            return self.line
        lines = (line for line in self.rest.split("\n") if re.search(r"\w", line))
        return next((line for line in lines if not line.lstrip().startswith("```")), "")


class Cut(Exception):
    """The text ends within its answer."""


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` holds, or the last ones that belong together.

    None if there is none, or its brace is not closed.
    """
    try:
        return box(text)
    except Cut:
        return None


def box(text: str) -> str | None:
    r"""As `boxed`.

    Raises:
        Cut: the brace is not closed.
    """
    found = list(_BOX.finditer(text))
    if not found:
        return None
    inside, _ = _inside(text, found[-1])
    parts, start = [inside], found[-1].start()
    for one in reversed(found[:-1]):
        try:
            inside, end = _inside(text, one)
        except Cut:
            break
        between = text[end:start]
        if end > start or not between.strip(" $") or _JOINS.fullmatch(between) is None:
            break
        if "\n\n" in between:
            break
        parts.insert(0, inside)
        start = one.start()
    return ", ".join(parts)


def _inside(text: str, opened: re.Match[str]) -> tuple[str, int]:
    if opened["bare"]:
        return opened["bare"], opened.end()
    depth, begin = 1, opened.end()
    for at in range(begin, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth:
            return text[begin:at], at + 1
    raise Cut


def statements(text: str) -> Iterator[Statement]:
    """What a text states, the last first.

    Raises:
        Cut: the text ends where its last statement begins.
    """
    tail = unstruck(text[-_LONGEST:])
    found = [_tagged(tail, tag) for tag in _TAGS.finditer(tail)]
    found += [one for name in named(tail) if (one := _named(tail, name)) is not None]
    found += [(m.start(), Statement(m["value"], "", False)) for m in _BEFORE.finditer(tail)]
    found.sort(key=lambda one: one[0], reverse=True)
    if found and not found[0][1].first.strip("*_`$ "):
        raise Cut
    yield from (one for _, one in found)


def _tagged(text: str, tag: re.Match[str]) -> tuple[int, Statement]:
    """`<answer>...</answer>`, which the end of the text may close, and `#### 18`."""
    inside = text[tag.end() :]
    if tag[0] != "####":
        inside = inside.partition("</answer>")[0].strip()
    line, _, rest = inside.partition("\n")
    return tag.start(), Statement(line, rest, True)


def _named(text: str, name: re.Match[str]) -> tuple[int, Statement] | None:
    """What stands behind words for the answer, if they lead to one."""
    before = text[text.rfind("\n", 0, name.start()) + 1 : name.start()][-200:]
    begins = BEGINS.fullmatch(before) is not None
    if begins and (alone := ALONE.match(text, name.end())) is not None:
        return name.start(), Statement("", text[alone.end() :], True)
    link = LINK.match(text, name.end())
    if link is None or _IFS.search(before):
        return None
    line, _, rest = text[link.end() :].partition("\n")
    if _NOT.match(line):
        return None
    sure = (begins and link["is"] is None) or before.endswith('"')
    return name.start(), Statement(line, rest, sure)
