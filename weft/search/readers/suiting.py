"""Which reader suits a list of right answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from weft.search.readers.choice import LETTERS
from weft.search.readers.number import is_number

_LATEX = re.compile(r"\\[A-Za-z]{2,}|\$[^$]*[\^_\\][^$]*\$")
_WORDS = ("yes no", "yes no maybe", "true false", "true false unknown", "true false uncertain")


def reader_for(right: Sequence[str]) -> str:
    """The spec of the reader that suits all right answers.

    `number` for numbers; `choice` for letters from A to J, and for yes and no, or true and
    false; `json` for objects and lists; `math` if there are commands of LaTeX; else `text`.
    """
    if all(map(is_number, right)):
        return "number"
    short = {one.strip().strip("()[].").casefold() for one in right}
    if short <= set(LETTERS.casefold().split()):
        return "choice"
    for words in _WORDS:
        if short <= set(words.split()):
            return f"choice(options='{words}')"
    if all(map(_is_json, right)):
        return "json"
    return "math" if any(map(_LATEX.search, right)) else "text"


def _is_json(text: str) -> bool:
    try:
        return text.lstrip()[:1] in ("{", "[") and isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False
