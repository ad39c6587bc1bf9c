"""Reply: an engine's answer to one request, as it comes over a raw connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.errors import Refused

if TYPE_CHECKING:
    from weft.service.engines.connection import EngineConnection

Headers = list[tuple[bytes, bytes]]

_BUFFERED = 256 * 1024  # bytes that wait to be read before the engine has to
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
