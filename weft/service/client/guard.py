"""What clients may not do to the service: endless or slow heads, and nesting without end."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from weft.service.client.client import Client, Watch
from weft.service.client.rest_of_request import RestOfRequest

_DEEP = 250
"""Nesting that any JSON library takes; orjson writes 253 levels and reads 1,024."""

_LARGE = 8192
"""Bytes from which on it is quicker to look for brackets than to write it all."""

_TLS = b"\x16\x03"
"""How a connection begins that is to be encrypted."""

_FRAMING = 8
"""Bytes that may frame each byte of a chunked body; chunks of one byte take five."""


def too_deep(raw: bytes, body: object) -> bool:
    """Whether JSON nests too deeply to be written again: by some 250 containers.

    Engines fail at such bodies too, and would be taken for broken. Trying is the quickest way
    to know: orjson writes ten times as fast as it reads.

    Args:
        raw: the JSON text.
        body: what orjson made of it, which stands for nothing else that it can't write.
    """
    if len(raw) > _LARGE and not _begins_many(raw):
        return False
    try:
        orjson.dumps(body)
    except orjson.JSONEncodeError:
        return True
    return False


def _begins_many(raw: bytes) -> bool:
    """Whether JSON has 250 brackets that open. To find them is far quicker than to count all."""
    found = 0
    for bracket in (b"[", b"{"):
        at = raw.find(bracket)
        while at >= 0:
            found += 1
            if found == _DEEP:
                return True
            at = raw.find(bracket, at + 1)
    return False


def no_http(came: bytes, error: BaseException | None) -> str:
    """What is wrong with a request that the parser does not take.

    Args:
        came: the last that came of it.
        error: the parser's.
    """
    if came.startswith(_TLS):
        return "TLS was sent where plain HTTP is spoken; use http:// in the address"
    if came.startswith(b"PRI * HTTP/2"):
        return "HTTP/2 was sent where HTTP/1.1 is spoken; let the client speak HTTP/1.1"
    why = str(error) if isinstance(error, httptools.HttpParserError) else ""
    remedy = "send valid HTTP/1.1"
    if "method" in why.lower():
        remedy = "if it is the body of the request before, tell its length by content-length"
    if "encoding" in why.lower() or "length" in why.lower():
        remedy = (
            "tell the body's length by content-length or by transfer-encoding: chunked, not by "
            "both, and what it is compressed by in content-encoding"
        )
    return f"the request is not HTTP/1.1{f': {why}' if why else ''}; {remedy}"


class Guarded(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with bounds on what is not a body.

    The parser gathers headers, and what follows a chunked body, without end.
    """

    header_bytes: int
    seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._refused = False
        self._body = 0
        self._outside = 0
        """Bytes of this request that belong to no body."""
        self._timer: asyncio.TimerHandle | None = None
        self._fed = b""
        self._body_follows = False
        """Whether the parser took the head for the last of HTTP, though a body comes."""
        self.watch: Watch | None = None
        """Whoever serves its request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a first head."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._timer = self.loop.call_later(self.seconds, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)
        if self.watch is not None:
            self.watch.on_lost()
        # They know it: together they would lie about until all memory is looked through.
        self.cycle = self.scope = self.parser = None  # type: ignore[assignment]

    def pause_writing(self) -> None:
        """The client takes nothing more for now."""
        super().pause_writing()
        if self.watch is not None:
            self.watch.on_held(True)

    def resume_writing(self) -> None:
        """It takes something again."""
        super().resume_writing()
        if self.watch is not None:
            self.watch.on_held(False)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes, of which the parser calls the methods below."""
        if self._refused:
            return
        self._outside += len(data)
        self._fed = data
        super().data_received(data)
        if self._in_head:
            if self._outside > self.header_bytes:
                self._refuse(431, self._too_large())
            elif self._timer is None and self._outside:
                self._timer = self.loop.call_later(self.seconds, self._late)
        elif self._outside > 2 * self.header_bytes + _FRAMING * self._body:
            self._refused = True  # its answer may be on the way: nothing can be said any more
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._body = True, 0

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._in_head = False
        self._stop_timer()
        # Bytes of the body may have come along, so count only if it may be too large.
        if self._outside > self.header_bytes:
            head = len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers)
            if head > self.header_bytes:
                self._refuse(431, self._too_large())
                return
        assert self.parser is not None
        upgrade = self.parser.should_upgrade()
        super().on_headers_complete()
        self._body_follows = upgrade and bool(self._framing())
        extensions = {"weft.client": Client(self, self.cycle)}
        cast(dict[str, Any], self.scope)["extensions"] = extensions

    def on_body(self, body: bytes) -> None:
        """Some of its body is there."""
        if not self._refused:
            self._body += len(body)
            self._outside -= len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        if not self._refused and not self._body_follows:
            self._outside = 0
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Go on in HTTP/1.1 where a client offered another protocol, as Java's does (h2c).

        The parser stops behind such a head, and uvicorn would lose the body.
        """
        error = sys.exception()
        assert isinstance(error, httptools.HttpParserUpgrade)
        rest = self._fed[error.args[0] :]
        if self._body_follows:
            self._body_follows = False
            self.parser = RestOfRequest.parser(self, self._framing())
        else:
            self.parser = httptools.HttpRequestParser(self)
        if rest:
            self._fed = rest
            super().data_received(rest)

    def _framing(self) -> list[tuple[bytes, bytes]]:
        """The headers that say how long the body is; none if there is no body."""
        return [
            (name, value)
            for name, value in self.headers
            if name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        ]

    def _late(self) -> None:
        if self._outside:
            self._refuse(408, f"the head of the request took longer than {self.seconds:g} s")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, and say what is wrong with it."""
        if not self.transport.is_closing():
            self._refuse(400, no_http(self._fed, sys.exception()))

    def _too_large(self) -> str:
        return f"the head of the request is larger than {self.header_bytes} bytes; send less"

    def _refuse(self, status: int, why: str) -> None:
        self._refused = True
        self._stop_timer()
        error = {"message": why, "type": "invalid_request_error", "param": None, "code": None}
        said = orjson.dumps({"error": error})
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[status], len(said), said)
        )
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def guarded(header_bytes: int, seconds: float) -> type[Guarded]:
    """A `Guarded` for uvicorn's option `http`.

    Args:
        header_bytes: largest head of a request: its line and its headers.
        seconds: that a head may take to come.
    """
    return type("Guarded", (Guarded,), {"header_bytes": header_bytes, "seconds": seconds})
