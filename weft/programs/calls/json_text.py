"""Where in an answer its JSON is: models wrap it in fences and prose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_FENCE = re.compile(r"```[\w+-]*[^\S\n]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_BEGINS = re.compile(r"[{\[]")
_MOST = 1000
"""Beginnings that are tried in prose, so that a text full of brackets costs no more than this."""

_decoder = json.JSONDecoder(strict=False)


def json_texts(text: str) -> Iterator[str]:
    """The texts in an answer that may be the JSON that it was asked for, likeliest first.

    The whole of it; then what fences hold, the last first, since models show what they mean
    before they say it; then objects and lists in prose, the last first likewise.
    """
    whole = text.strip()
    if not whole:
        return
    yield whole
    fenced = [found.strip() for found in _FENCE.findall(whole)]
    yield from reversed([one for one in fenced if one])
    yield from reversed(_in_prose(whole))


def _in_prose(text: str) -> list[str]:
    found: list[str] = []
    at = tried = 0
    while tried < _MOST and (begin := _BEGINS.search(text, at)) is not None:
        tried += 1
        try:
            _, at = _decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            at = begin.end()
        else:
            if text[begin.start() : at] != text:
                found.append(text[begin.start() : at])
    return found
