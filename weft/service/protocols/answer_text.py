"""The text of an answer, whichever protocol it is told in."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from weft.service.protocols.events import member, object_of, split
from weft.service.protocols.protocol import Body

_KEPT = 128 * 1024
"""Bytes of a stream: some 500 events, in the last of which a summary has enough lines."""


def text_of(answer: Body) -> str:
    """The text of a whole answer."""
    return "".join(
        [
            *[_text(member(one, "message", "content")) for one in _list(answer.get("choices"))],
            *[_text(member(one, "text")) for one in _list(answer.get("content"))],
            *[
                _text(member(part, "text"))
                for item in _list(answer.get("output"))
                if member(item, "type") == "message"
                for part in _list(member(item, "content"))
            ],
        ]
    )


class StreamEnd:
    """Keeps the end of a stream, of which the text may be wanted."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._size = 0

    def take(self, part: bytes) -> None:
        """Some more of the stream."""
        self._parts.append(part[-_KEPT:])
        self._size += min(len(part), _KEPT)
        while self._size > _KEPT:
            self._size -= len(self._parts.popleft())

    def text(self) -> str:
        """The text in what was kept; events that are cut are left out."""
        events = split(b"".join(self._parts))
        return "".join([_text_of_event(object_of(event)) for event in events])


def _text_of_event(event: Body) -> str:
    match event.get("type"):
        case "response.output_text.delta":
            return _text(event.get("delta"))
        case "content_block_delta":
            return _text(member(event, "delta", "text"))
        case _:
            choices = _list(event.get("choices"))
            return "".join([_text(member(one, "delta", "content")) for one in choices])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []
