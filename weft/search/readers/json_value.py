"""JSON: equal values are equal answers, however they are written."""

from __future__ import annotations

import json
from typing import Any

from weft.programs.calls.json_text import json_texts
from weft.search.readers.reader import Reader, reader


@reader("json")
class JsonReader(Reader):
    """The JSON in a text; equal values are equal answers."""

    def read(self, text: str) -> str | None:
        """The value, in one way of writing it; None if there is no JSON."""
        for found in json_texts(text):
            try:
                value = json.loads(found, parse_float=_number)
            except (ValueError, RecursionError):
                continue
            return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return None


def _number(written: str) -> Any:
    value = float(written)
    return int(value) if value.is_integer() else value
