"""Fenced blocks of code in a text, as Markdown has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

_FENCE = re.compile(
    r"(?:<\w+>)?(?P<space>[ \t]*(?:[-*+>]\s+|\d+[.)]\s+)?)(?P<marks>`{3,}|~{3,})(?P<info>.*)"
)
_TAG = re.compile(r"</\w+>\s*$")
"""What may surround a block on the lines of its fences: `<answer>` and `</answer>`."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        language: the first word behind the fence, in lower case; empty if there is none.
        code: what is inside, without the indentation that all lines share with the fence.
        whole: a second fence ends the block.
    """

    language: str
    code: str
    whole: bool


def fenced(text: str) -> Iterator[Block]:
    """The blocks of a text, in order; the last may lack its end.

    A fence is three or more backticks or tildes. The same character, as often at least, ends the
    block, so that a block may hold shorter fences.
    """
    lines: list[str] | None = None
    mark, width, language = "", 0, ""
    for line in text.replace("\r\n", "\n").splitlines(keepends=True):
        found = _FENCE.fullmatch(_TAG.sub("", line).rstrip())
        if lines is None:
            if found is None or "`" in found["info"]:
                continue
            mark, width, lines = found["marks"], len(found["space"]), []
            words = re.findall(r"\w[\w+#.-]*", found["info"])
            language = words[0].lower() if words else ""
        elif found is not None and found["marks"].startswith(mark) and not found["info"].strip():
            yield Block(language, _inner(lines, width), True)
            lines = None
        else:
            lines.append(line)
    if lines is not None:
        last = lines[-1].rstrip() if lines else ""
        whole = last.endswith(mark)  # on the line of the code, as some models write it
        if whole:
            lines[-1] = last.removesuffix(mark)
        yield Block(language, _inner(lines, width), whole)


def _inner(lines: list[str], width: int) -> str:
    """The lines of a block; where the fence is indented, the lines are as much."""
    code = "".join(lines)
    if width and all(line[:width].isspace() or not line.strip() for line in lines):
        return "".join(line[width:] or "\n" for line in lines)
    return dedent(code) if width else code
