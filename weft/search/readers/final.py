"""Final answers of conversations: what is boxed, or said to be the answer, or all of it."""

from __future__ import annotations

import re

from weft.search.readers.reader import Reader, reader

_BOX = "\\boxed{"
_LINE = re.compile(
    r"^[*_#> \t]*(?:the )?(?:final )?answer[*_ \t]*:[*_ \t]*(\S.*)", re.IGNORECASE | re.MULTILINE
)


@reader("final")
class FinalReader(Reader):
    r"""The last `\boxed{...}`, else what follows the last `Answer:`, else the whole text.

    `Answer:` begins its line, in any markup. Answers are compared without regard to case,
    spacing, a final full stop, and marks of emphasis.
    """

    def read(self, text: str) -> str | None:
        """The first of these that the text has."""
        found = boxed(text)
        if found is None:
            lines = _LINE.findall(text)
            found = lines[-1] if lines else text
        plain = " ".join(found.split()).casefold().strip("*_$ ").removesuffix(".")
        return plain.strip("*_$ ") or None


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` holds; None if there is none, or its brace is not closed."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    depth, begin = 1, start + len(_BOX)
    for at in range(begin, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth:
            return text[begin:at]
    return None
