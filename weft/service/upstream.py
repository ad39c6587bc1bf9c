"""Raw HTTP to engines: bytes in, bytes out, connections kept.

The gateway hands bodies through as they are, chunk by chunk, and for that general clients are
the dearest part of its way: each wraps a request and every chunk in tasks, timers and objects of
its own. Here a connection is an asyncio protocol around httptools' parser, and nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import cast
from urllib.parse import urlsplit

import httptools

from weft.errors import EngineUnavailable, Refused

Headers = list[tuple[bytes, bytes]]

KEPT = 3.0
"""Seconds that an idle connection is kept: servers of uvicorn close theirs after 5."""

_BUFFERED = 256 * 1024  # bytes that wait for a slow client before the engine has to
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
        "_size",
        "_waiter",
        "headers",
        "status",
    )

    def __init__(self, connection: _Connection) -> None:
        self.status = 0
        self.headers: Headers = []
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._over = False
        self._error: EngineUnavailable | None = None
        self._waiter: asyncio.Future[None] | None = None

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

    def close(self) -> None:
        """Be done with it. Before its end, that aborts the request in the engine."""
        self._connection.let_go(self)

    async def begun(self) -> None:
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

    def put(self, chunk: bytes) -> None:
        """A part of the body has come."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > _BUFFERED:
            self._connection.pause()
        self.wake()

    def end(self, error: EngineUnavailable | None = None) -> None:
        """The body has ended, or broke off."""
        if not self._over:
            self._over, self._error = True, error
            self.wake()

    @property
    def over(self) -> bool:
        """Whether all of it has come."""
        return self._over


class _Connection(asyncio.Protocol):
    """One connection; it carries one request at a time."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.reply: Reply | None = None
        self.used = 0
        self.heard = 0.0
        self.reusable = True
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
        self._parser = httptools.HttpResponseParser(self)
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

    def fail(self, error: EngineUnavailable) -> None:
        """Close, for a reason that whoever waits is told."""
        reply, self.reply = self.reply, None
        self.abort()
        if reply is not None:
            reply.end(error)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
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

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # only a sign of life
            self._headers = []
        elif self.reply is not None:
            self.reply.headers, self.reply.status = self._headers, status
            self.reply.wake()

    def on_body(self, body: bytes) -> None:
        if self.reply is not None:
            self.reply.put(body)

    def on_message_complete(self) -> None:
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


class Upstream:
    """An engine's address, and the connections to it. For asyncio alone.

    Args:
        url: `http://host:port`, with a path before the endpoints' if there is one.
        key: sent as a bearer token.
        connect: seconds that connecting may take.
        idle: seconds without a byte after which the engine is taken for dead.
    """

    def __init__(
        self, url: str, key: str | None = None, connect: float = 5.0, idle: float = 300.0
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self._host, self._tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path.rstrip("/")
        self._connect, self._idle_limit = connect, idle
        fixed = f"host: {parts.netloc.rpartition('@')[2]}\r\naccept-encoding: identity\r\n"
        if key:
            fixed += f"authorization: Bearer {key}\r\n"
        self._fixed = fixed.encode("latin-1")
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._sweeper = self._loop.call_later(1.0, self._sweep)

    def allow(self, connect: float, idle: float) -> None:
        """Go by other limits."""
        self._connect, self._idle_limit = connect, idle

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._all)

    async def send(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Reply:
        """Send a request; returns when status and headers have come.

        `close` must be called on the reply. Cancelling closes the connection.

        Raises:
            EngineUnavailable: nothing answers, or the connection was lost.
        """
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        request = b"%b %b HTTP/1.1\r\n%b%bcontent-length: %d\r\n\r\n%b" % (
            method.encode(),
            (self._base + path).encode("latin-1"),
            self._fixed,
            lines,
            len(body),
            body,
        )
        while True:
            connection = self._kept() or await self._open()
            again = connection.used > 0
            reply = connection.send(request)
            try:
                await reply.begun()
                return reply
            except EngineUnavailable:
                # A server closes idle connections; one may be closing just as it is used again.
                if not again or self.now() - connection.heard > 1.0:
                    raise
            except BaseException:
                reply.close()
                raise

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and self.now() - connection.heard < KEPT:
                return connection
            connection.abort()
        return None

    async def _open(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self),
                    self._host,
                    self._port,
                    ssl=ssl.create_default_context() if self._tls else None,
                )
        except (OSError, TimeoutError) as error:
            raise EngineUnavailable(
                f"nothing answers at {self.url}; start the engine or correct the address"
            ) from error
        self._all.add(connection)
        return connection

    def keep(self, connection: _Connection) -> None:
        """A connection may be used again."""
        self._idle.append(connection)

    def forget(self, connection: _Connection) -> None:
        """A connection is closed."""
        self._all.discard(connection)

    def broken(self) -> EngineUnavailable:
        """The error for a connection lost on the way."""
        return EngineUnavailable(
            f"the engine at {self.url} broke the connection; see whether it died"
        )

    def _sweep(self) -> None:
        """Close what has been idle, or silent, for too long."""
        self._sweeper = self._loop.call_later(1.0, self._sweep)
        now = self.now()
        while self._idle and now - self._idle[0].heard > KEPT:
            self._idle.pop(0).abort()
        for connection in [c for c in self._all if c.reply and now - c.heard > self._idle_limit]:
            connection.fail(
                EngineUnavailable(
                    f"the engine at {self.url} fell silent; see whether it hangs, or allow more "
                    "limits.idle_seconds"
                )
            )

    async def idle(self) -> None:
        """Wait until no request is under way."""
        while any(connection.reply for connection in self._all):  # noqa: ASYNC110 - it is rare
            await asyncio.sleep(1.0)

    def close(self) -> None:
        """Close all connections; what still runs on them is aborted."""
        self._sweeper.cancel()
        for connection in list(self._all):
            connection.fail(self.broken())
        self._idle.clear()
