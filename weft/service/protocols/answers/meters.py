"""Meters of streams of events, and of what is no stream."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

from weft.service.protocols.events import DONE, LONGEST, data_of, object_in, whole_events
from weft.service.protocols.protocol import Meter, Used


class EventMeter(Meter):
    """Finds the whole events in what comes; what they mean is the protocol's.

    Only whole ones are passed on: no client can do anything with a part, and if an engine breaks
    off in the middle of an event, what is told of that stands by itself.
    """

    def __init__(self) -> None:
        self.used = Used()
        self.finished = False
        self.failure = ""
        self._tail = bytearray()  # of an event that is not whole

    def feed(self, chunk: bytes) -> bytes:
        """See Meter."""
        tail = self._tail
        if not tail and chunk.endswith(b"\n\n"):
            return self._read(chunk)
        whole = whole_events(tail, chunk)
        out = self._read(whole) if whole else b""
        return out + self.rest() if len(tail) > LONGEST else out

    def close(self) -> bytes:
        """See Meter."""
        tail = self.rest()
        if self.finished:
            return tail
        data = data_of(tail)
        # Some leave out the blank line behind the last event.
        out = self._read(tail.rstrip() + b"\n\n") if data == DONE or object_in(data) else b""
        return out if self.finished or self.failure else out + self._ending()

    def rest(self) -> bytes:
        """See Meter."""
        held = bytes(self._tail)
        self._tail.clear()
        return held

    def _ending(self) -> bytes:
        """What ends an answer that is whole but for that; sets `finished` if it is whole."""
        return b""

    @abstractmethod
    def _read(self, events: bytes) -> bytes:
        """Take whole events; returns them, less what the client is not to get."""

    def _count(self, events: bytes) -> None:
        """Take each event for a token, until the engine says."""
        if not self.used.told:
            # A line break within JSON is escaped, so that this is the beginning of a line.
            self.used.generated += events.count(b"\ndata:") + events.startswith(b"data:")

    def _fail(self, error: Any) -> None:
        """Note what an error event says."""
        text: Any = error
        if isinstance(error, dict):
            text = cast(dict[str, Any], error).get("message")
        self.failure = self.failure or (text if isinstance(text, str) and text else "error")


class Through(Meter):
    """For answers that are not streams of events: passes everything on."""

    def __init__(self) -> None:
        self.used = Used()
        self.finished = True
        self.failure = ""

    def feed(self, chunk: bytes) -> bytes:
        """See Meter."""
        return chunk

    def rest(self) -> bytes:
        """See Meter."""
        return b""

    def close(self) -> bytes:
        """See Meter."""
        return b""
