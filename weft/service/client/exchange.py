"""Exchange: one request of a client and its answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from starlette.types import Receive, Scope

from weft.errors import Refused
from weft.service.client.client import Client, Header

JSON: Header = (b"content-type", b"application/json")
STREAM: Header = (b"content-type", b"text/event-stream; charset=utf-8")
FINAL = (b"x-should-retry", "false")
"""A header for SDKs, which send again by themselves what was answered 408, 409, 429 or 5xx."""

KEEP_ALIVE = b": keep-alive\n\n"
BREAK = b"\n\n"
"""Ends what was left unfinished, so that the event after it is seen for itself."""

_LONGEST = 1000  # characters of a header that weft adds
_CONTROL = bytes(c if c >= 32 and c != 127 else 32 for c in range(256))
_ENDS = (b"\n\n", b"\r\n\r\n", b"\n\r\n")
_time = time.monotonic

BEATS = 4
"""How often in an interval of silence exchanges are asked whether it is over."""


def _joined(given: Iterable[Header]) -> dict[str, str]:
    """Headers of which some came more than once, with their different values in a list."""
    found: dict[str, list[str]] = {}
    for name, value in given:
        values, text = found.setdefault(name.decode("latin-1"), []), value.decode("latin-1")
        if text not in values:
            values.append(text)
    return {name: ", ".join(values) for name, values in found.items()}


def _values(scope: Scope, wanted: bytes) -> list[str]:
    """The values of a header."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


class AnswerSource(Protocol):
    """Where parts of an answer come from."""

    def pause(self) -> None:
        """Let nothing come for now."""

    def resume(self) -> None:
        """Let it come again."""


class Exchange:
    """Reads a request, answers it, and notices when the client leaves.

    Attributes:
        path, method, query: of the request.
        host: where the client is; empty if that is not known.
        headers: of the request, names in small letters.
        raw: its body.
        encodings: of the body, as Content-Encoding and Transfer-Encoding tell them.
        begun: whether status and headers of the answer are out.
        ended: whether the last of the answer is out.
        left: whether the client left.
        goes_on: whether the request goes on when the client leaves.
        alone: whether it goes on, and the client has left or has its answer.
        cut: why the request was cancelled from within the service; None if it was not.
        answer: id of the answer that has begun, once that is known.
        program: id of the program that it belongs to, once that is known.
    """

    __slots__ = (
        "_between",
        "_client",
        "_last",
        "_open",
        "_out",
        "_quiet",
        "_receive",
        "_since",
        "_source",
        "_task",
        "alone",
        "answer",
        "begun",
        "cut",
        "encodings",
        "ended",
        "goes_on",
        "headers",
        "host",
        "left",
        "method",
        "path",
        "program",
        "query",
        "raw",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.query: bytes = scope["query_string"]
        client = scope.get("client")
        self.host: str = client[0] if client else ""
        given = scope["headers"]
        self.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in given}
        if len(self.headers) < len(given):
            self.headers = _joined(given)
        self.raw, self.encodings = b"", ""
        framed = self.headers.get("transfer-encoding")
        if "content-encoding" in self.headers or (framed and framed != "chunked"):
            given = _values(scope, b"content-encoding") + _values(scope, b"transfer-encoding")
            self.encodings = ",".join(given)
        self.program = self.answer = ""
        self.begun = self.ended = self.left = self.goes_on = self.alone = False
        self.cut: Refused | None = None
        self._since = 0.0
        self._open: Callable[[], None] | None = None
        self._last: bytes | None = None  # part since the last beat
        self._quiet, self._between = -1, True
        self._out: list[Header] = []
        self._source: AnswerSource | None = None
        self._receive = receive
        self._task = asyncio.current_task()
        # Taken out, for it knows the scope: what is left would lie about.
        self._client: Client = scope["extensions"].pop("weft.client")
        # The server tells when the connection is lost: a task that waits for it costs too much.
        self._client.watch(self)

    def close(self) -> None:
        """It is over: nothing can cancel it any more."""
        self._task = None
        self._client.unwatch(self)

    def on_lost(self) -> None:
        """The client is gone."""
        if self.goes_on:
            self.alone = True
            self.on_held(False)  # it takes nothing, but nobody waits for that
        elif not self.ended:
            self.left = True
            self._cancel()

    def on_held(self, on: bool) -> None:
        """The client takes nothing more for now, or takes it again."""
        self._since = _time() if on else 0.0
        if self._source is not None:
            if on:
                self._source.pause()
            else:
                self._source.resume()

    def cancel(self, reason: Refused) -> None:
        """End the request from within the service."""
        if self.cut is None and not self.left:
            self.cut = reason
            self._cancel()

    def drop(self, reason: Refused) -> None:
        """End the connection, and the request with it unless that goes on without its client."""
        if self.goes_on:
            self._client.abort()
            return
        self.cancel(reason)
        self.left = True
        self._client.abort()

    def _cancel(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    @property
    def ours(self) -> bool:
        """Whether a cancellation came from here, not from a server that stops."""
        return self.left or self.cut is not None

    def stuck(self, since: float) -> bool:
        """Whether the client has been sending nothing, or taking nothing, since that time."""
        return 0.0 < self._since < since

    async def read(self, most: int) -> None:
        """Read the body.

        Args:
            most: bytes that it may have.

        Raises:
            Refused: it is too large.
        """
        told = self.headers.get("content-length", "")
        if told.isascii() and told.isdigit() and int(told) > most:
            raise self._too_large(most)
        body = self._client.body()
        if body is not None:
            if len(body) > most:
                raise self._too_large(most)
            self.raw = body
            return
        parts: list[bytes] = []
        size = 0
        while True:
            self._since = _time()
            message = await self._receive()
            self._since = 0.0
            if message["type"] == "http.disconnect":
                self.left = True
                return
            if part := message.get("body", b""):
                size += len(part)
                if size > most:
                    raise self._too_large(most)
                parts.append(part)
            if not message.get("more_body"):
                break
        self.raw = parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, most: int) -> Refused:
        return Refused(
            413, f"the body is larger than {most} bytes, the limit of this service; send less"
        )

    def add(self, name: bytes, value: str) -> None:
        """Give the answer a header, if it has not begun."""
        if len(value) > _LONGEST:
            value = value[:_LONGEST]
        if value.isascii():
            text = value.encode()
        else:
            try:
                text = value.encode("latin-1")
            except UnicodeEncodeError:
                text = value.encode("utf-8", "replace")
        if not value.isprintable():
            text = text.translate(_CONTROL)
        self._out.append((name, text))

    async def begin(self, status: int, kind: Header, part: bytes = b"") -> None:
        """Send status and headers, and the first part of the answer if it is there."""
        self.begun = True
        if self._client.holds:
            self._between = False
            await self._await_taken()
            self._between = True
        self._client.begin(status, [kind, *self._out], part)
        self._last = part or BREAK

    def keep_open(self, tell: Callable[[], None]) -> None:
        """From now on a comment comes whenever the stream was silent for an interval.

        Args:
            tell: called before the head, if that goes out with the first comment.
        """
        self._open = tell

    def beat(self) -> None:
        """Take notice of silence; to be called `BEATS` times an interval.

        No stream has a timer of its own: what is sent leaves a trace, and the next beat sees it.
        """
        if self._open is None or self.ended or self.left:
            return
        last, self._last = self._last, None
        if last is not None:
            # A comment must not stand within an event that is passed on in parts.
            self._quiet, self._between = 0, last.endswith(_ENDS)
            return
        self._quiet += 1
        if self._quiet < BEATS or not self._between or self._client.holds:
            return
        self._quiet = 0
        if self.begun:
            self._client.part(KEEP_ALIVE)
        else:
            self.begun = True
            self._open()
            self._client.begin(200, [STREAM, *self._out], KEEP_ALIVE)

    async def part(self, part: bytes) -> None:
        """Send a part of a streamed answer."""
        if self._client.holds:
            await self._await_taken()
        self._client.part(part)
        self._last = part

    def follow(self, source: AnswerSource | None) -> None:
        """Let a source write parts by `put`; it is paused while the client takes nothing."""
        self._source = source
        if source is not None and self._client.holds:
            source.pause()

    def put(self, part: bytes) -> None:
        """Send a part from the source that is followed, at once."""
        self._client.part(part)
        self._last = part

    async def end(self, part: bytes = b"") -> None:
        """Send the last part."""
        self.ended = True
        if self._client.holds:
            await self._await_taken()
        self._client.end(part)

    def break_off(self) -> None:
        """Cut the connection, so that the client sees that what it has is not whole."""
        self.ended = True
        self._client.abort()

    async def whole(self, status: int, body: bytes, kind: Header = JSON) -> None:
        """Send a whole answer."""
        self.begun = self.ended = True
        if self._client.holds:
            await self._await_taken()
        self._client.whole(status, [kind, *self._out], body)

    async def _await_taken(self) -> None:
        """Wait until the client has taken what was sent already."""
        self._since = self._since or _time()
        await self._client.ready()

    async def refuse(
        self,
        status: int,
        body: bytes,
        event: bytes,
        retry_after: float | None = None,
        again: bool = True,
    ) -> None:
        """Answer with an error: as a body, or in the stream if that has begun.

        Args:
            status: of the answer.
            body: of the answer.
            event: what stands in the stream for it.
            retry_after: seconds after which the client may come again.
            again: whether it is of any use to come again.
        """
        if self.begun:
            await self.end(BREAK + event)
            return
        if retry_after is not None:
            self.add(b"retry-after", str(max(1, math.ceil(retry_after))))
        if not again:
            self.add(*FINAL)
        await self.whole(status, body)
