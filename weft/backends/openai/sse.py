"""Server-sent events, read as tolerantly as the many servers that send them need."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import Any, cast

DONE = {"done": True}
"""Stands for the event that ends a stream, `[DONE]`."""


class NoEvent(ValueError):
    """An event is no JSON."""


class EventLines:
    """Reads the JSON of events out of a stream's bytes, however they are cut.

    Lines may end in any of the three ways; an event's data may be on several lines; comments,
    names of events and what else there is are skipped, but for the name `error`, which may alone
    tell that the data is one. A body that is no stream at all but one JSON object, as some servers
    answer, is an event of its own.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._plain: list[bytes] = []  # lines that belong to no event
        self._failed = False  # the event is named so

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """The events that a chunk completes."""
        text = self._rest + chunk
        held = text.endswith(b"\r")  # its newline may be to come
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = lines.split(b"\n")
        self._rest = rest + b"\r" if held else rest
        for line in whole:
            yield from self._line(line)

    def end(self) -> Iterator[dict[str, Any]]:
        """The event that the end completes."""
        if self._rest.strip():
            yield from self._line(self._rest.rstrip(b"\r"))
        yield from self._event()
        if plain := b"\n".join(self._plain).strip():
            try:
                found: Any = json.loads(plain)
            except ValueError:
                return
            if isinstance(found, list) and found:
                found = cast("list[Any]", found)[0]
            if isinstance(found, dict):
                yield cast("dict[str, Any]", found)

    def _line(self, line: bytes) -> Iterator[dict[str, Any]]:
        line = line.removeprefix(b"\xef\xbb\xbf")
        if line.startswith(b"data:"):
            # Most events are one line; then nothing need be waited for.
            yield from self._piece(line[5:].strip())
        elif not line.strip():
            yield from self._event()
            self._failed = False
        elif line.startswith(b"event:"):
            self._failed = line[6:].strip() == b"error"
        elif not line.startswith((b":", b"id:", b"retry:")):
            self._plain.append(line)

    def _piece(self, data: bytes) -> Iterator[dict[str, Any]]:
        if data[:1] == b"[" and data.upper() == b"[DONE]":
            self._data.clear()
            yield DONE
            return
        self._data.append(data)
        try:
            # A server that cuts characters into pieces may send bytes that are none.
            found = json.loads(b"\n".join(self._data).decode("utf-8", "replace"))
        except ValueError:
            return
        self._data.clear()
        if isinstance(found, dict):
            event = cast("dict[str, Any]", found)
            yield {"error": event} if self._failed and not event.get("error") else event

    def _event(self) -> Iterator[dict[str, Any]]:
        if data := b"\n".join(self._data).strip():
            self._data.clear()
            raise NoEvent(data[:80].decode(errors="replace"))
        yield from ()


async def server_events(stream: AsyncIterable[bytes]) -> AsyncGenerator[dict[str, Any]]:
    """The JSON of each event in a body, `DONE` for its end mark.

    Reads on to the end of the body, so that the connection can be used again. An event that is
    no JSON is given as one that tells of an error.
    """
    lines = EventLines()
    async for chunk in stream:
        for event in _told(lines.feed(chunk)):
            yield event
    for event in _told(lines.end()):
        yield event


def _told(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        yield from events
    except NoEvent as error:
        yield {"error": f"what was sent is no event: {str(error)!r}"}
