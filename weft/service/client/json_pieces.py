"""Large JSON, read in pieces: no other thread waits long while one is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from weft.service.client.guard import too_deep

_PIECE = 1 << 20
"""Bytes that are read at once, in which nobody else runs: for some milliseconds."""

_LEVELS = 6
"""Levels that are taken apart; what is large further down is read at once."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


class TooDeep(Exception):
    """The JSON nests deeper than any engine reads."""


def read_pieces(raw: bytes) -> Any:
    """What orjson makes of a text, and as much memory, but in pieces; for a thread of its own.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
        TooDeep: see `too_deep`.
    """
    try:
        return _value(raw, 0)
    except (msgspec.DecodeError, ValueError):  # also what is no UTF-8
        orjson.loads(raw)  # for the error's place in the whole
        raise
    except RecursionError:
        raise TooDeep from None


def _value(raw: bytes, level: int) -> Any:
    if len(raw) > _PIECE and level < _LEVELS:
        first = raw[:16].lstrip()[:1]
        if first == b"{":
            members = _members.decode(raw)
            return {key: _value(bytes(one), level + 1) for key, one in members.items()}
        if first == b"[":
            return _listed(_items.decode(raw), level)
    return _loaded(raw, level)


def _listed(items: Sequence[msgspec.Raw], level: int) -> list[Any]:
    """The items of a list; small ones together."""
    found: list[Any] = []
    start = size = 0
    for at, item in enumerate(items):
        length = len(memoryview(item))
        size += length
        if size > _PIECE:
            found += _loaded(b"[%b]" % b",".join(items[start:at]), level)
            start, size = at, length
            if length > _PIECE:
                found.append(_value(bytes(item), level + 1))
                start, size = at + 1, 0
    found += _loaded(b"[%b]" % b",".join(items[start:]), level)
    return found


def _loaded(raw: bytes, level: int) -> Any:
    value: Any = orjson.loads(raw)
    around = value
    for _ in range(level):
        around = [around]
    if too_deep(raw, around):
        raise TooDeep
    return value
