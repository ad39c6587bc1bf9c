"""The service and engines in this process, and raw connections to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

from raw_connections import connected
from waiting import PATIENCE
from weft.service.config.file import ServiceConfig
from weft.service.server import Server
from weft.service.service import Service

Reply = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

SAID = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "m", "messages": SAID},
    "/v1/completions": {"model": "m", "prompt": "hi"},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/v1/messages": {"model": "m", "max_tokens": 100, "messages": SAID},
    "/v1/messages/count_tokens": {"model": "m", "messages": SAID},
    "/v1/embeddings": {"model": "m", "input": "hi"},
    "/tokenize": {"model": "m", "prompt": "hi"},
    "/detokenize": {"model": "m", "tokens": [105, 106]},
}
"""The least that each endpoint takes."""
CHAT = "/v1/chat/completions"
GENERATING = [CHAT, "/v1/completions", "/v1/responses", "/v1/messages"]


@dataclass
class LiveService:
    """A service that runs."""

    inside: Service
    port: int
    http: httpx.AsyncClient
    server: Server

    async def post(self, path: str = CHAT, _headers: Any = None, **fields: Any) -> httpx.Response:
        """Send the least that an endpoint takes, with more or other fields."""
        return await self.http.post(path, json=BODIES[path] | fields, headers=_headers)

    def streaming(self, path: str = CHAT, _headers: Any = None, **fields: Any) -> Any:
        """The same, streamed: an async context manager of the response."""
        body = BODIES[path] | {"stream": True} | fields
        return self.http.stream("POST", path, json=body, headers=_headers)

    def connected(
        self,
    ) -> AbstractAsyncContextManager[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A raw connection."""
        return connected(self.port)

    async def raw(self, sent: bytes, seconds: float = PATIENCE) -> bytes:
        """Send bytes and read until the service closes, or says nothing more for a moment."""
        async with self.connected() as (reader, writer):
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
                writer.write_eof()
            with contextlib.suppress(ConnectionError):
                return await asyncio.wait_for(reader.read(), seconds)
        return b""

    def idle(self) -> bool:
        """Whether nothing is left of any request."""
        service = self.inside
        return not (
            service.exchanges
            or service.scheduler.in_flight
            or service.scheduler.waiting
            or any(tenant.running for tenant in (service.tenants.anonymous, *service.tenants))
            or any(program.live for program in service.registry.programs.values())
        )


@contextlib.asynccontextmanager
async def serving(
    *engines: Any, reread: Callable[[], ServiceConfig] | None = None, **fields: Any
) -> AsyncGenerator[LiveService]:
    """The service as `weft serve` runs it, on a free port, in this event loop."""
    config = ServiceConfig.model_validate({"engines": list(engines), **fields})
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)  # so a connection made before the server is up waits for it
        port = listener.getsockname()[1]
        limits = httpx.Limits(max_connections=None)
        url = f"http://127.0.0.1:{port}"
        http = httpx.AsyncClient(base_url=url, limits=limits, timeout=PATIENCE)
        async with Service(config, reread) as service, http, anyio.create_task_group() as group:
            server = Server(service)
            group.start_soon(server.work, listener)
            try:
                yield LiveService(service, port, http, server)
            finally:
                server.should_exit = server.force_exit = True


@dataclass
class RawEngine:
    """An engine that says what it is told to.

    Attributes:
        reply: writes the answer to a request to generate, given the request's bytes.
        asked: such requests.
        well: whether it says that it is healthy.
        models: what it lists.
        gets: whether `reply` answers other methods than POST too.
        tokenizes: whether it answers `/tokenize` by itself.
    """

    reply: Reply
    url: str = ""
    asked: int = 0
    well: bool = True
    models: list[dict[str, Any]] = field(
        default_factory=lambda: [{"id": "m", "max_model_len": 100_000}]
    )
    gets: bool = False
    tokenizes: bool = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                body = await reader.readexactly(length)
                method, path = head.decode("latin-1").split(" ")[:2]
                known = self._known(method, path)
                if known is None:
                    self.asked += 1
                    await self.reply(head + body, writer)
                else:
                    status, value = known
                    writer.write(answered(status, json.dumps(value).encode()))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _known(self, method: str, path: str) -> tuple[int, Any] | None:
        match path:
            case "/v1/models":
                return 200, {"data": self.models}
            case "/health":
                return (200, {}) if self.well else (503, {})
            case "/metrics":
                return 404, {}
            case "/tokenize" if self.tokenizes:
                return 200, {"tokens": [1]}
            case "/detokenize" | "/kv_event_sources":
                return 404, {}
            case _:
                return None if method == "POST" or self.gets else (404, {})


def answered(status: int, body: bytes, kind: str = "application/json") -> bytes:
    """A whole answer."""
    return (
        f"HTTP/1.1 {status} Status\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )


@contextlib.asynccontextmanager
async def raw_engine(reply: Reply | bytes, **fields: Any) -> AsyncGenerator[RawEngine]:
    """An engine that answers requests to generate with these bytes, or as this function does.

    After bytes the connection is closed.
    """

    async def bytes_only(_: bytes, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reply, bytes)
        writer.write(reply)
        writer.close()

    engine = RawEngine(bytes_only if isinstance(reply, bytes) else reply, **fields)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(engine.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    engine.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield engine
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections close in the loop's next round
