"""Raw HTTP to engines: bytes in, bytes out, connections kept.

The gateway hands bodies through as they are, chunk by chunk, and for that general clients are
the dearest part of its way: each wraps a request and every chunk in tasks, timers and objects of
its own. Here a connection is an asyncio protocol around httptools' parser, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from weft.backends.http.client import certificates, unreachable
from weft.backends.wording import Wording
from weft.errors import EngineSilent, EngineUnavailable
from weft.service.engines.connection import EngineConnection
from weft.service.engines.reply import Reply

KEPT = 3.0
"""Seconds that an idle connection is kept: servers of uvicorn close theirs after 5."""


class Upstream:
    """An engine's address, and the connections to it. For asyncio alone.

    Args:
        url: `http://host:port`, with a path before the endpoints' if there is one.
        key: sent as a bearer token.
        connect: seconds that connecting may take.
        idle: seconds without a byte after which the engine is taken for dead.
        wording: which parameters of chat completions the engine takes.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        connect: float = 5.0,
        idle: float = 300.0,
        wording: Wording | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.url, self.wording = url, wording or Wording()
        self.lacks: set[str] = set()
        """Endpoints that the engine does not have."""
        self.counts = True
        """Whether the engine says how many tokens its answers have, as far as is known."""
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
        self._idle: list[EngineConnection] = []
        self._all: set[EngineConnection] = set()
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
            connection = self._reuse() or await self._open()
            again = connection.used > 0
            reply = connection.send(request)
            try:
                await reply.await_head()
                return reply
            except EngineUnavailable:
                # A server closes idle connections; one may be closing just as it is used again.
                if not again or self.now() - connection.heard > 1.0:
                    raise
            except BaseException:
                reply.close()
                raise

    def _reuse(self) -> EngineConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and self.now() - connection.heard < KEPT:
                return connection
            connection.abort()
        return None

    async def _open(self) -> EngineConnection:
        try:
            async with asyncio.timeout(self._connect):
                _, connection = await self._loop.create_connection(
                    lambda: EngineConnection(self),
                    self._host,
                    self._port,
                    ssl=certificates() if self._tls else None,
                )
        except (OSError, TimeoutError) as error:
            raise unreachable(self.url, error) from error
        self._all.add(connection)
        return connection

    def keep(self, connection: EngineConnection) -> None:
        """A connection may be used again."""
        self._idle.append(connection)

    def forget(self, connection: EngineConnection) -> None:
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
                EngineSilent(
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
