"""Reply: an engine's answer to one request, as it comes over a raw connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from weft.errors import EngineUnavailable, Refused

if TYPE_CHECKING:
    from weft.service.engines.upstream import Upstream

Headers = list[tuple[bytes, bytes]]

_BUFFERED = 256 * 1024  # bytes that wait to be read before the engine has to
_LONGEST_HEAD = 128 * 1024
LONGEST = 256 * 2**20
"""Bytes of an answer that is not streamed."""


class Reply:
    """The answer to one request, as it comes.

    Attributes:
        status: of the answer.
        headers: names in small letters.
    """

    __slots__ = (
        "_chunks",
        "_connection",
        "_error",
        "_over",
        "_sink",
        "_size",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, connection: EngineConnection) -> None:
        self.status = 0
        self.headers: Headers = []
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._over = False
        self._error: Exception | None = None
        self._sink: Callable[[bytes], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def kind(self) -> tuple[bytes, bytes] | None:
        """The header that says what the body is, if there is one."""
        for header in self.headers:
            if header[0] == b"content-type":
                return header
        return None

    async def read(self) -> bytes:
        """What has come since the last time; waits for something; empty at the end.

        Raises:
            EngineUnavailable: the connection was lost before the end, or the engine fell silent.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            await self._wait()
        chunks = self._chunks
        found = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        if self._size > _BUFFERED:
            self._connection.resume()
        self._size = 0
        return found

    async def pour(self, sink: Callable[[bytes], None]) -> None:
        """Have `sink` take what has not been read yet as it comes; returns at the end.

        No task wakes for a part: that would cost more than all else that is done with it.

        Raises:
            EngineUnavailable: see `read`. What `sink` raises ends the request too.
        """
        if self._chunks:
            sink(await self.read())
        self._sink = sink
        while not self._over:
            await self._wait()
        if self._error is not None:
            raise self._error

    async def whole(self) -> bytes:
        """All of the body that has not been read yet.

        Raises:
            EngineUnavailable: see `read`.
            Refused: it is too long to be kept.
        """
        parts: list[bytes] = []
        size = 0
        while part := await self.read():
            parts.append(part)
            size += len(part)
            if size > LONGEST:
                raise Refused(502, f"the engine's answer is longer than {LONGEST} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def again(self, body: bytes) -> None:
        """Let a body that has been read be read once more."""
        self._chunks = [body] if body else []

    def close(self) -> None:
        """Be done with it. Before its end, that aborts the request in the engine."""
        self._connection.let_go(self)

    async def await_head(self) -> None:
        """Wait for status and headers."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Something has come."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def pause(self) -> None:
        """Let nothing come for now."""
        if not self._over:
            self._connection.pause()

    def resume(self) -> None:
        """Let it come again."""
        if not self._over:
            self._connection.resume()

    def put(self, chunk: bytes) -> None:
        """A part of the body has come."""
        if self._sink is not None:
            try:
                self._sink(chunk)
            except Exception as error:
                self._connection.fail(error)
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > _BUFFERED:
            self._connection.pause()
        self.wake()

    def end(self, error: Exception | None = None) -> None:
        """The body has ended, or broke off."""
        if not self._over:
            self._over, self._error = True, error
            self.wake()


class EngineConnection(asyncio.Protocol):
    """A raw connection to an engine; it carries one request at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.reply: Reply | None = None
        self.used = 0
        self.heard = 0.0
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._headers: Headers = []
        self._head = 0

    def send(self, request: bytes) -> Reply:
        """Send a request."""
        assert self._transport is not None
        self.reply = reply = Reply(self)
        self.used += 1
        self._headers, self._head = [], 0
        self.heard = self.upstream.now()
        self._transport.write(request)
        return reply

    def let_go(self, reply: Reply) -> None:
        """Its answer is not wanted any more."""
        if self.reply is reply:  # it is not over
            self.reply = None
            self.abort()

    def pause(self) -> None:
        """Take nothing in for now."""
        if self._transport is not None and not self.closed:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take in again."""
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()
            self.heard = self.upstream.now()

    def abort(self) -> None:
        """Close at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: Exception) -> None:
        """Close, for a reason that whoever waits is told."""
        reply, self.reply = self.reply, None
        self.abort()
        if reply is not None:
            reply.end(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes, of which the parser calls the methods below."""
        self.heard = self.upstream.now()
        reply = self.reply
        if reply is None:
            self.abort()  # nothing was asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._no_http(error)
            return
        if not reply.status:
            self._head += len(data)
            if self._head > _LONGEST_HEAD:
                self._no_http("its head does not end")

    def _no_http(self, why: object) -> None:
        self.fail(
            EngineUnavailable(
                f"the engine at {self.upstream.url} does not answer in HTTP ({why}); "
                "correct its address"
            )
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self.closed = True
        self.upstream.forget(self)
        if self.reply is not None:
            if self.reply.status and self._until_closed:
                self.on_message_complete()
            else:
                self.fail(self.upstream.broken())

    @property
    def _until_closed(self) -> bool:
        """Whether the body ends with the connection, as in HTTP/1.0."""
        names = {name for name, _ in self._headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is there."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """All of them are."""
        status = self._parser.get_status_code()
        if status < 200:  # only a sign of life
            self._headers = []
        elif self.reply is not None:
            self.reply.headers, self.reply.status = self._headers, status
            self.reply.wake()

    def on_body(self, body: bytes) -> None:
        """Some of the body is there."""
        if self.reply is not None:
            self.reply.put(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        reply = self.reply
        if reply is None or not reply.status:
            return
        self.reply = None
        reply.end()
        self.resume()  # for the next one, even if this one is never read
        if self.closed or not self._parser.should_keep_alive():
            self.abort()
        else:
            self.upstream.keep(self)
