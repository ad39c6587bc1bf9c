"""Server-sent events, found in chunks that are cut anywhere, and the JSON in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import orjson

LONGEST = 4 << 20
"""Bytes of one event; a longer one is passed on unread."""

DONE = b"[DONE]"
"""The data of the event that ends a stream of chat or completions."""

_END = re.compile(rb"\r?\n\r?\n")
_FIRST = (b"data:", b"event: response.", b"event: message_start")
"""How most streams begin."""
_MUCH = 1 << 16
"""Bytes of a beginning that are passed on, whatever they are."""


def whole_events(tail: bytearray, chunk: bytes) -> bytes:
    """The whole events in what has come; the rest is left in `tail`.

    Args:
        tail: of an event that is not whole.
        chunk: what comes behind it.
    """
    seen = max(0, len(tail) - 3)
    tail += chunk
    end = max(tail.rfind(b"\n\n", seen) + 2, tail.rfind(b"\n\r\n", seen) + 3)
    if end <= 2:  # there is none
        return b""
    whole = bytes(tail[:end])
    del tail[:end]
    return whole


def split(events: bytes) -> Iterator[bytes]:
    """The single events of whole ones; joined they are what they were."""
    start = 0
    for end in _END.finditer(events):
        yield events[start : end.end()]
        start = end.end()
    if start < len(events):
        yield events[start:]


def begins(come: bytes) -> bool:
    """Whether a stream has begun to answer, by all that has come of it.

    Comments and pings say no more than that the engine lives.
    """
    if (come.startswith(_FIRST) and b"\n\n" in come) or len(come) > _MUCH:
        return True
    return bool(first_said(whole_events(bytearray(), come)))


def first_said(events: bytes) -> bytes:
    """The data of the first event that says something; empty if none does."""
    for event in split(events):
        data = data_of(event)
        if data and not (b'"ping"' in data and object_in(data).get("type") == "ping"):
            return data
    return b""


def data_of(event: bytes) -> bytes:
    """The data of an event."""
    return b"\n".join(
        [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    )


def object_of(event: bytes) -> dict[str, Any]:
    """The data of an event as a JSON object; empty if it is none."""
    return object_in(data_of(event))


def object_in(raw: bytes) -> dict[str, Any]:
    """A text as a JSON object; empty if it is none."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def member(value: Any, *path: str) -> Any:
    """What stands at a path of keys; None if it leads nowhere."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = cast(dict[str, Any], value).get(key)
    return value


def tokens(value: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def known_tokens(value: Any) -> int | None:
    """A number of tokens; None for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
