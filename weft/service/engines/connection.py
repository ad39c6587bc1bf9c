"""A raw connection to an engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from weft.errors import EngineUnavailable

if TYPE_CHECKING:
    from weft.service.engines.upstream import Upstream
from weft.service.engines.reply import Headers, Reply

_LONGEST_HEAD = 128 * 1024


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
