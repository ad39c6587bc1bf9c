"""Exchange: one request of a client and its answer, on the ASGI connection that carries both."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from starlette.types import Receive, Scope, Send

from weft.errors import Refused

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
STREAM: Header = (b"content-type", b"text/event-stream; charset=utf-8")
KEEP_ALIVE = b": keep-alive\n\n"


class Exchange:
    """Reads a request, answers it, and notices when the client leaves.

    Attributes:
        path: of the request.
        headers: of the request, names in small letters.
        raw: its body.
        begun: whether status and headers of the answer are out.
        stuck: since when the client does not take what is sent, by the event loop's clock; 0 if
            it does.
        left: whether the client left.
        program: id of the program that it belongs to, once that is known.
    """

    __slots__ = (
        "_out",
        "_receive",
        "_send",
        "begun",
        "headers",
        "left",
        "path",
        "program",
        "raw",
        "stuck",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.path: str = scope["path"]
        self.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        self.raw = b""
        self.program = ""
        self.begun = self.left = False
        self.stuck = 0.0
        self._out: list[Header] = []
        self._receive, self._send = receive, send

    async def read(self, most: int, stall: float) -> None:
        """Read the body.

        Args:
            most: bytes that it may have.
            stall: seconds that the client may take for the next part.

        Raises:
            Refused: it is too large, or does not come.
        """
        told = self.headers.get("content-length", "")
        if told.isascii() and told.isdigit() and int(told) > most:
            raise self._too_large(most)
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                async with asyncio.timeout(stall):
                    message = await self._receive()
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
        except TimeoutError:
            raise Refused(
                408, f"nothing came of the request's body for {stall:.0f} s; send it at once"
            ) from None
        self.raw = parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, most: int) -> Refused:
        return Refused(
            413, f"the body is larger than {most} bytes, the limit of this service; send less"
        )

    @asynccontextmanager
    async def attended(self) -> AsyncGenerator[anyio.CancelScope]:
        """Cancel the block when the client leaves; its scope may be cancelled for other reasons."""
        with anyio.CancelScope() as scope:
            watcher = asyncio.ensure_future(self._leaves(scope))
            try:
                yield scope
            finally:
                watcher.cancel()

    async def _leaves(self, scope: anyio.CancelScope) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        scope.cancel()

    def add(self, name: bytes, value: str) -> None:
        """Give the answer a header, if it has not begun."""
        text = value.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace")
        self._out.append((name, text[:1000]))

    async def begin(self, status: int, kind: Header) -> None:
        """Send status and headers."""
        self.begun = True
        headers = [kind, *self._out]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def part(self, body: bytes) -> None:
        """Send a part of a streamed answer."""
        self.stuck = asyncio.get_running_loop().time()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        self.stuck = 0.0

    async def end(self, body: bytes = b"") -> None:
        """Send the last part."""
        self.stuck = asyncio.get_running_loop().time()
        await self._send({"type": "http.response.body", "body": body})
        self.stuck = 0.0

    async def whole(self, status: int, body: bytes, kind: Header = JSON) -> None:
        """Send a whole answer."""
        self._out.append((b"content-length", str(len(body)).encode()))
        await self.begin(status, kind)
        await self.end(body)

    async def refuse(
        self, status: int, body: bytes, event: bytes, retry_after: float | None = None
    ) -> None:
        """Answer with an error: as a body, or in the stream if that has begun."""
        if self.begun:
            await self.end(event)
            return
        if retry_after is not None:
            self.add(b"retry-after", str(max(1, math.ceil(retry_after))))
        await self.whole(status, body)
