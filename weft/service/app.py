"""App: the service as an ASGI application."""

from __future__ import annotations

import math
import re

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from weft.errors import UnknownName, WeftError
from weft.service.client.client import Header
from weft.service.inference.gateway import Gateway, status_of
from weft.service.protocols import PROTOCOLS, Protocol
from weft.service.protocols.errors.error_words import ErrorWords, openai_error
from weft.service.protocols.unscheduled.passed import METHODS, Passed, StoredResponse
from weft.service.routes import Routes
from weft.service.service import Service
from weft.service.watch.telemetry import Telemetry

_SLASHES = re.compile("/{2,}")


class App:
    """The ASGI application: inference goes to the gateway at once, the rest through Starlette."""

    def __init__(self, service: Service, telemetry: Telemetry) -> None:
        self._service, self._gateway = service, Gateway(service)
        self._rest = Starlette(
            routes=Routes(service, telemetry).all(),
            exception_handlers={HTTPException: _http_error, WeftError: _weft_error},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method = scope["method"]
        protocol = PROTOCOLS.get(scope["path"]) or self._less_usual(scope)
        if protocol is not None and (method == "POST" or self._passes(protocol, method)):
            await self._gateway(scope, receive, protocol)
            return
        send = self._marked(scope, send)
        if foreign := self._service.hosts.refusal(_header(scope, b"host")):
            answer = JSONResponse({"error": openai_error(ErrorWords(403, foreign))}, 403)
            await answer(scope, receive, send)
        elif _header(scope, b"upgrade").lower() == "websocket":
            await _no_websocket(scope, receive, send)
        elif method == "OPTIONS" and self._service.origins and _header(scope, b"origin"):
            await self._preflight(scope)(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    def _preflight(self, scope: Scope) -> Response:
        """The answer to a browser that asks whether a page may send something."""
        wished = _header(scope, b"access-control-request-headers")
        headers = self._service.origins.preflight(_header(scope, b"origin"), wished)
        if headers is None:
            said = "pages of this origin may not use the service; list it in origins"
            return JSONResponse({"error": openai_error(ErrorWords(403, said))}, 403)
        answer = Response(status_code=204)
        answer.raw_headers += headers
        return answer

    def _passes(self, protocol: Protocol, method: str) -> bool:
        return isinstance(protocol, Passed) and method in METHODS

    def _less_usual(self, scope: Scope) -> Protocol | None:
        """The endpoint of a path with slashes too many, or of one that is passed on."""
        path = scope["path"] = plain(scope["path"])
        return PROTOCOLS.get(path) or StoredResponse.of(path) or self._service.paths.get(path)

    def _marked(self, scope: Scope, send: Send) -> Send:
        """Adds to an answer what all answers have: the request's id, and what browsers need."""
        service = self._service
        id = _header(scope, b"x-request-id") or service.registry.new_id()
        added: list[Header] = [(b"x-request-id", id.encode("latin-1"))]
        added += service.origins.headers(_header(scope, b"origin"))

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        return marked


def plain(path: str) -> str:
    """A path without the slashes that joining a base URL and a path leaves."""
    found = _SLASHES.sub("/", path).rstrip("/")
    # In the middle of other paths stand names, such as the addresses of engines.
    return found if found in PROTOCOLS else "/" + path.strip("/")


def _header(scope: Scope, header: bytes) -> str:
    found = (value for name, value in scope["headers"] if name.lower() == header)
    return next(found, b"").decode("latin-1")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, text, headers = error.status_code, error.detail, dict(error.headers or {})
    if status == 404 and request.url.path in PROTOCOLS:
        status, text, headers = 405, "this endpoint takes POST", {"allow": "POST"}
    elif status == 404:
        text = _nothing_at(request.url.path)
    if protocol := PROTOCOLS.get(request.url.path.removeprefix("/v1")):
        code = "unknown_url" if status == 404 else None
        said = protocol.error(ErrorWords(status, text, code=code))
        return Response(said, status, headers, "application/json")
    said = openai_error(ErrorWords(status, text)) | {"code": None}
    return JSONResponse({"error": said}, status, headers)


def _nothing_at(path: str) -> str:
    """What is said where nothing is: mostly the client's base URL is not what it should be."""
    if path.startswith("/v1/v1"):
        return f"there is nothing at {path}: the base URL has /v1 twice; take one out"
    if f"/v1{path}" in PROTOCOLS:
        return f"there is nothing at {path}, but at /v1{path}; put /v1 behind the base URL"
    return "there is nothing here; GET /openapi.json lists what there is"


async def _no_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket so that clients such as Codex send plain requests at once."""
    told = ErrorWords(426, "there are no WebSockets here; send plain HTTP requests")
    headers = {"upgrade": "HTTP/1.1", "connection": "close"}
    await JSONResponse({"error": openai_error(told)}, 426, headers)(scope, receive, send)


async def _weft_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, WeftError)
    status, wait = status_of(error)
    headers = None if wait is None else {"retry-after": str(max(1, math.ceil(wait)))}
    said = openai_error(ErrorWords(status, str(error)))
    if not (isinstance(error, UnknownName) and error.kind == "model") and status == 404:
        said["code"] = None  # it speaks of models
    return JSONResponse({"error": said}, status, headers)
