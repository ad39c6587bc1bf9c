"""Client: where the answer to one request is written, without ASGI's messages.

A message for each part of an answer costs more than all else that is done with the part. So
answers are written to the client's transport at once, by whoever has them, and uvicorn, which
reads requests and keeps the connection, is told when one has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Header = tuple[bytes, bytes]


class Watch(Protocol):
    """Is told what becomes of a connection while it answers a request."""

    def on_lost(self) -> None:
        """The client is gone."""

    def on_held(self, on: bool) -> None:
        """The client takes nothing more for now, or takes it again."""


class ClientConnection(Protocol):
    """A client's connection.

    Attributes:
        flow: whether the client takes what is sent.
        watch: who is told what becomes of it.
    """

    transport: asyncio.Transport
    flow: FlowControl
    watch: Watch | None


class Client:
    """The client's side of one request. What is written when it is gone, is gone too.

    Args:
        connection: that carries the request.
        cycle: of the request, as uvicorn keeps it.
    """

    __slots__ = ("_chunked", "_connection", "_cycle", "_transport")

    def __init__(self, connection: ClientConnection, cycle: RequestResponseCycle) -> None:
        self._connection, self._cycle = connection, cycle
        self._transport = connection.transport
        # Who speaks HTTP/1.0 knows no chunks: there the end of the connection is the body's.
        self._chunked = cycle.scope["http_version"] != "1.0"

    def watch(self, watch: Watch) -> None:
        """Have someone told what becomes of the connection."""
        self._connection.watch = watch

    def unwatch(self, watch: Watch) -> None:
        """Tell that one nothing more; it may be another request's turn already."""
        if self._connection.watch is watch:
            self._connection.watch = None

    def body(self) -> bytes | None:
        """The request's body, if all of it is there already."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected:
            return None
        self._connection.flow.resume_reading()  # to notice that the client leaves
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    @property
    def holds(self) -> bool:
        """Whether the client does not take what was written already."""
        return self._connection.flow.write_paused

    async def ready(self) -> None:
        """Wait until the client takes something."""
        await self._connection.flow.drain()

    def whole(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Write an answer."""
        length = b"content-length: %d\r\n" % len(body)
        self._write(self._head(status, headers, length) + body)
        self._over()

    def begin(self, status: int, headers: Iterable[Header], part: bytes = b"") -> None:
        """Write the head of a streamed answer, and its first part if that is there."""
        how = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        head = self._head(status, headers, how)
        self._write(head + self._framed(part) if part else head)

    def part(self, part: bytes) -> None:
        """Write a part of a streamed answer."""
        if part:  # an empty chunk would be the last one
            self._write(self._framed(part))

    def end(self, part: bytes = b"") -> None:
        """Write the last part of a streamed answer."""
        last = self._framed(part) if part else b""
        self._write(last + b"0\r\n\r\n" if self._chunked else last)
        self._over()

    def abort(self) -> None:
        """Cut the connection."""
        self._cycle.disconnected = True  # else uvicorn would miss an end of the answer
        self._transport.abort()

    def _framed(self, part: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(part), part) if self._chunked else part

    def _head(self, status: int, headers: Iterable[Header], how: bytes) -> bytes:
        lines = [b"%b: %b\r\n" % header for header in headers]
        if not self._cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        self._cycle.response_started = True
        return b"%b%b%b\r\n" % (STATUS_LINE[status], b"".join(lines), how)

    def _write(self, data: bytes) -> None:
        if not self._cycle.disconnected:
            self._transport.write(data)

    def _over(self) -> None:
        """Have uvicorn go on with the connection."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._transport.close()
        cycle.on_response()
