"""JSON: equal values are equal answers, however they are written."""

from __future__ import annotations

import json
import re
from typing import Any

from weft.programs.calls.json_text import json_texts
from weft.search.readers.reader import Reader, reader

_MARKS = re.compile(r"\\.|[\"{}\[\]]", re.DOTALL)


@reader("json")
class JsonReader(Reader):
    """The JSON in a text; equal values are equal answers."""

    def read(self, text: str) -> str | None:
        """The value, in one way of writing it; None if there is no JSON."""
        begun = _unfinished(text)
        for found in json_texts(text):
            if begun is not None and text.rfind(found) > begun:
                continue  # it is a part of what was cut off
            try:
                value = json.loads(found, parse_float=_number)
            except (ValueError, RecursionError):
                continue
            return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return None


def _unfinished(text: str) -> int | None:
    """Where the object or list begins within which a text breaks off; None if it does not."""
    opened: list[int] = []
    quoted = False
    for mark in _MARKS.finditer(text):
        if mark[0] == '"' and opened:
            quoted = not quoted
        elif not quoted and mark[0] in "{[":
            opened.append(mark.start())
        elif not quoted and mark[0] in "}]" and opened:
            opened.pop()
    return opened[0] if opened else None


def _number(written: str) -> Any:
    value = float(written)
    return int(value) if value.is_integer() else value
