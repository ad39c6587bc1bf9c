"""The text of an answer, whichever protocol it is told in."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import orjson

from weft.service.protocols.events import member, object_of, split
from weft.service.protocols.protocol import Body

_KEPT = 128 * 1024
"""Bytes of a stream: some 500 events, in the last of which a summary has enough lines."""

_SAID = frozenset(
    {
        "arguments",
        "content",
        "input",
        "name",
        "partial_json",
        "reasoning",
        "reasoning_content",
        "refusal",
        "text",
        "thinking",
    }
)
"""What holds generated text in a message, a block, an item or a delta."""


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


def generated_bytes(answer: Body) -> int:
    """Bytes of what a whole answer or an event says: texts, thinking, calls of tools."""
    delta = answer.get("delta")
    found: list[Any] = [{"text": delta}] if isinstance(delta, str) else [delta]
    found += [answer.get(key) for key in ("choices", "content", "output", "content_block")]
    size = 0
    while found:
        value = found.pop()
        if isinstance(value, list):
            found += cast(list[Any], value)
        elif isinstance(value, dict):
            for key, one in cast(Body, value).items():
                if isinstance(one, str):
                    size += len(one.encode("utf-8", "surrogatepass")) if key in _SAID else 0
                elif key == "input" and one:  # of a tool
                    size += len(orjson.dumps(one))
                elif key != "logprobs":
                    found.append(one)
    return size


class StreamEnd:
    """Keeps the end of a stream, of which the text may be wanted."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._size = self._all = 0

    def take(self, part: bytes) -> None:
        """Some more of the stream."""
        self._parts.append(part[-_KEPT:])
        self._size += min(len(part), _KEPT)
        self._all += len(part)
        while self._size > _KEPT:
            self._size -= len(self._parts.popleft())

    def text(self) -> str:
        """The text in what was kept; events that are cut are left out."""
        return "".join([_text_of_event(event) for event in self._events()])

    def generated_bytes(self) -> int:
        """See the function; what was not kept is taken to be as the rest."""
        kept = sum(map(generated_bytes, self._events()))
        return kept * self._all // self._size if self._size else 0

    def _events(self) -> list[Body]:
        return [object_of(event) for event in split(b"".join(self._parts))]


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
