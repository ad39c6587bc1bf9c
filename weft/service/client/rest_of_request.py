"""The body behind a head at which the parser stopped."""

from __future__ import annotations

from typing import Protocol

import httptools


class HttpParts(Protocol):
    """Is told of the parts of requests, as httptools tells them."""

    def on_message_begin(self) -> None:
        """A request begins."""

    def on_url(self, url: bytes) -> None:
        """Its target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""

    def on_headers_complete(self) -> None:
        """Its head is whole."""

    def on_body(self, body: bytes) -> None:
        """Some of its body."""

    def on_message_complete(self) -> None:
        """It is whole."""


class RestOfRequest:
    """Passes on what a parser finds, less the head that it begins with.

    Args:
        parts: is told of the body of the request under way, and of all requests behind it.
    """

    def __init__(self, parts: HttpParts) -> None:
        self._parts = parts
        self._begun = False
        self.on_body, self.on_message_complete = parts.on_body, parts.on_message_complete

    @classmethod
    def parser(
        cls, parts: HttpParts, framing: list[tuple[bytes, bytes]]
    ) -> httptools.HttpRequestParser:
        """A parser that expects the rest of a request.

        Args:
            parts: see the class.
            framing: the headers that say how long the rest is.
        """
        found = httptools.HttpRequestParser(cls(parts))
        found.feed_data(b"POST / HTTP/1.1\r\n")
        for header in framing:
            found.feed_data(b"%b: %b\r\n" % header)
        found.feed_data(b"\r\n")
        return found

    def on_message_begin(self) -> None:
        """See HttpParts."""
        if self._begun:
            self._parts.on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See HttpParts."""
        if self._begun:
            self._parts.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See HttpParts."""
        if self._begun:
            self._parts.on_header(name, value)

    def on_headers_complete(self) -> None:
        """See HttpParts."""
        if self._begun:
            self._parts.on_headers_complete()
        self._begun = True
