"""Large JSON, written in pieces: no other thread waits long while one is written.

orjson lets no other thread run while it writes, and text in which much is escaped takes long.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

_FEW = 4096
"""Members or items that are each written for themselves: any of them may be large."""

_BATCH = 512
"""Of many, how many are written at once."""

_TEXT = 1 << 18
"""Characters of a string that are written at once."""


def write_pieces(value: Any) -> bytes:
    """What orjson makes of a value, but in pieces; for a thread of its own.

    Raises:
        TypeError: orjson can't write it.
    """
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes]) -> None:
    if isinstance(value, str):
        _write_text(value, parts)
    elif isinstance(value, list):
        _write_items(cast(list[Any], value), parts)
    elif isinstance(value, dict):
        _write_members(cast(dict[str, Any], value), parts)
    else:
        parts.append(orjson.dumps(value))


def _write_text(text: str, parts: list[bytes]) -> None:
    if len(text) <= _TEXT:
        parts.append(orjson.dumps(text))
        return
    parts.append(b'"')
    for at in range(0, len(text), _TEXT):
        parts.append(orjson.dumps(text[at : at + _TEXT])[1:-1])
    parts.append(b'"')


def _write_items(items: list[Any], parts: list[bytes]) -> None:
    between = b"["
    if not items:
        parts.append(between)
    elif len(items) <= _FEW:
        for item in items:
            parts.append(between)
            _write(item, parts)
            between = b","
    else:
        for at in range(0, len(items), _BATCH):
            parts += between, orjson.dumps(items[at : at + _BATCH])[1:-1]
            between = b","
    parts.append(b"]")


def _write_members(members: dict[str, Any], parts: list[bytes]) -> None:
    between = b"{"
    if not members:
        parts.append(between)
    elif len(members) <= _FEW:
        for key, member in members.items():
            parts += between, orjson.dumps(key), b":"
            _write(member, parts)
            between = b","
    else:
        names = list(members)
        for at in range(0, len(names), _BATCH):
            batch = {name: members[name] for name in names[at : at + _BATCH]}
            parts += between, orjson.dumps(batch)[1:-1]
            between = b","
    parts.append(b"}")
