"""One HTTP client for all engines: httpx, over aiohttp where the event loop is asyncio's.

httpx' own transport costs some ten times more CPU a request than aiohttp's, which runs on
asyncio alone; on trio httpx carries itself.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import sniffio

from weft.errors import EngineSilent, EngineUnavailable, RequestFailed, UsageError

CONNECT = 5.0
"""Seconds to wait for a connection."""

SILENCE = 300.0
"""Seconds without a byte after which an engine is given up."""

KEEPALIVE = 3.0
"""Seconds that an idle connection is kept: servers of uvicorn close theirs after 5."""


@cache
def certificates() -> ssl.SSLContext:
    """Whom all engines' connections trust: certifi's authorities and the system's own.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` replace both. Read once: reading takes 20 ms and more, in
    which the event loop does nothing else.
    """
    trusted = httpx.create_ssl_context()
    trusted.load_default_certs()
    trusted.set_alpn_protocols(["http/1.1"])
    return trusted


def check_address(url: str) -> None:
    """Refuse what is no address of a server.

    Raises:
        UsageError: it is none.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or re.search(r"\s", url):
        raise UsageError(f"{url!r} is no address of an engine; write http://host:port, or https://")


def client(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    connect: float = CONNECT,
    silence: float = SILENCE,
) -> httpx.AsyncClient:
    """A client for one engine; make it inside the event loop that will use it.

    Args:
        url: base of all requests.
        headers: sent with each of them.
        connect: seconds to wait for a connection.
        silence: seconds without a byte before a read fails. There is no limit on a whole answer.
    """
    limits = httpx.Limits(
        max_connections=4096, max_keepalive_connections=512, keepalive_expiry=KEEPALIVE
    )
    transport: httpx.AsyncBaseTransport
    hooks: list[Callable[[httpx.Request], Awaitable[None]]] = []
    if sniffio.current_async_library() == "asyncio":
        from httpx_aiohttp import AiohttpTransport  # needless, and slow to import, on trio

        transport = AiohttpTransport(verify=certificates(), limits=limits)
    else:
        transport = httpx.AsyncHTTPTransport(verify=certificates(), limits=limits)
        hooks.append(send_whole)
    return httpx.AsyncClient(
        base_url=url,
        # Compressing a stream would hold it back.
        headers={"accept-encoding": "identity", **(headers or {})},
        timeout=httpx.Timeout(silence, connect=connect, pool=None),
        transport=transport,
        event_hooks={"request": hooks},
    )


class Body(httpx.AsyncByteStream):
    """A request's body that can be dropped in the midst of being sent.

    httpx' own is an async generator, which a cancelled request leaves suspended; trio warns
    of it when it is collected.
    """

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


async def send_whole(request: httpx.Request) -> None:
    """Give a request a `Body`."""
    request.stream = Body(await request.aread())


@contextmanager
def reaching(url: str) -> Generator[None]:
    """Turn transport errors into `EngineUnavailable`, saying what happened to `url`."""
    try:
        yield
    except httpx.ReadTimeout as error:
        raise silent(url) from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        if type(error.__cause__).__name__ in BROKEN:
            raise broken(url) from error
        raise unreachable(url, error) from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise EngineUnavailable(
            f"{url} is no address of an engine; write it as http://host:port"
        ) from error
    except (httpx.TransportError, httpx.StreamError, OSError) as error:
        raise broken(url) from error


def silent(url: str) -> EngineSilent:
    """The error for an engine that says nothing for too long."""
    return EngineSilent(
        f"the engine at {url} fell silent; see whether it hangs, or allow it more `silence`"
    )


def unreachable(url: str, error: BaseException | None) -> EngineUnavailable:
    """The error for a connection that can't be made, for what lies behind its error."""
    cause: ssl.SSLError | None = None
    while error is not None:
        # The innermost: aiohttp's own errors of this kind lack the attributes.
        cause = error if isinstance(error, ssl.SSLError) else cause
        error = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return EngineUnavailable(
            f"the certificate of {url} can't be trusted: {cause.verify_message}; name the file of "
            "its authority's certificate in SSL_CERT_FILE, or correct the address"
        )
    if cause is not None:
        return EngineUnavailable(
            f"what answers at {url} does not speak TLS as it should ({cause.reason}); "
            "write http:// if it speaks none"
        )
    return EngineUnavailable(f"nothing answers at {url}; start the engine or correct the address")


BROKEN = ("ServerDisconnectedError", "ClientOSError", "ClientConnectionResetError")
"""What aiohttp calls a connection lost, which its transport reports as a connect timeout."""


def broken(url: str) -> EngineUnavailable:
    """The error for a connection lost on the way."""
    return EngineUnavailable(f"the engine at {url} broke the connection; see whether it died")


async def send(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send a request, and once more if the connection broke before anything was answered.

    A server closes idle connections; one may be closing just as it is used again.
    """
    try:
        return await http.send(request, stream=True)
    except (
        httpx.RemoteProtocolError,
        httpx.ReadError,
        httpx.WriteError,
        httpx.ConnectTimeout,
    ) as e:
        if isinstance(e, httpx.ConnectTimeout) and type(e.__cause__).__name__ not in BROKEN:
            raise
        return await http.send(request, stream=True)


@asynccontextmanager
async def streaming(
    http: httpx.AsyncClient, request: httpx.Request
) -> AsyncGenerator[httpx.Response]:
    """Send a request; the connection is closed on leaving, whatever the reason.

    A server learns of a cancellation by the connection closing, so that is not put off: it
    happens inside a shield.
    """
    response = await send(http, request)
    try:
        yield response
    finally:
        with anyio.CancelScope(shield=True):
            await response.aclose()


async def events(stream: AsyncIterable[bytes]) -> AsyncGenerator[Any]:
    """The JSON of each server-sent event in a body, less `[DONE]`.

    Made for one form alone, a `data:` line an event, and parsed by hand, since every
    generated token passes here. Reads on to the end of the body, so that the connection can
    be used again.

    Raises:
        RequestFailed: an event is no JSON object.
    """
    rest = b""
    loads = json.loads
    async for chunk in stream:
        lines = (rest + chunk if rest else chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:") and b"[DONE]" not in line[5:13]:
                try:
                    event = loads(line[5:])
                except ValueError:
                    event = None
                if not isinstance(event, dict):
                    said = line[5:85].decode(errors="replace").strip()
                    raise RequestFailed(f"the engine sends what is no event: {said!r}")
                yield event
