"""App: the routes of the service, as an ASGI application."""

from __future__ import annotations

import hmac
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from weft.errors import Refused, UnknownName, WeftError
from weft.service.client.client import Header
from weft.service.inference.gateway import Gateway, status_of
from weft.service.openapi import document
from weft.service.programs.records import ProgramRecord
from weft.service.protocols import PROTOCOLS, Protocol
from weft.service.protocols.errors import ErrorWords, openai_error
from weft.service.protocols.unscheduled.passed import METHODS, Passed, StoredResponse
from weft.service.service import Service
from weft.service.watch import dashboard
from weft.service.watch.snapshot import program_detail, program_summary
from weft.service.watch.telemetry import Telemetry

_SLASHES = re.compile("/{2,}")

Handler = Callable[[Request], Awaitable[Response]]


class App:
    """The ASGI application: inference goes to the gateway at once, the rest through Starlette."""

    def __init__(self, service: Service, telemetry: Telemetry) -> None:
        self._service, self._gateway = service, Gateway(service)
        self._rest = Starlette(
            routes=_Routes(service, telemetry).all(),
            exception_handlers={HTTPException: _http_error, WeftError: _weft_error},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method = scope["method"]
        protocol = PROTOCOLS.get(scope["path"]) or self._less_usual(scope)
        if protocol is not None and (method == "POST" or self._passes(protocol, method)):
            await self._gateway(scope, receive, protocol)
        elif foreign := self._service.hosts.refusal(_header(scope, b"host")):
            answer = JSONResponse({"error": openai_error(ErrorWords(403, foreign))}, 403)
            await answer(scope, receive, send)
        elif _header(scope, b"upgrade").lower() == "websocket":
            await _no_websocket(scope, receive, send)
        elif method == "OPTIONS" and self._service.origins:
            await self._preflight(scope)(scope, receive, send)
        else:
            await self._rest(scope, receive, self._marked(scope, send))

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
        asked, origins = _header(scope, b"x-request-id"), self._service.origins
        added: list[Header] = [(b"x-request-id", asked.encode("latin-1"))] if asked else []
        added += origins.headers(_header(scope, b"origin"))
        if not added:
            return send

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


class _Routes:
    """What is asked seldom."""

    def __init__(self, service: Service, telemetry: Telemetry) -> None:
        self._service, self._telemetry = service, telemetry

    def all(self) -> list[Route]:
        """The routes; those of more than one tenant's matters ask for an admin key."""
        admin = self._admin
        return [
            *dashboard.routes(self._telemetry.overview, admin),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
            Route("/health", self.health),
            Route("/ready", self.ready),
            Route("/v1/models", self.models),
            Route("/v1/models/{id:path}", self.model),
            Route("/v1/programs", self.programs),
            Route("/v1/programs/{id:path}", self.program, methods=["GET"]),
            Route("/v1/programs/{id:path}", self.release, methods=["DELETE"]),
            Route("/admin/reload", admin(self.reload), methods=["POST"]),
            Route("/admin/engines", admin(self.engines)),
            Route(
                "/admin/engines/{name:path}/drain", admin(self.drain), methods=["POST", "DELETE"]
            ),
        ]

    async def openapi(self, _: Request) -> Response:
        """The description of all this for programs."""
        return JSONResponse(document())

    async def health(self, _: Request) -> Response:
        """Whether the service runs."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Whether it can serve requests."""
        service, shown = self._service, self._shown(request)
        engines = {shown(r.name): r.alive for r in service.scheduler.replicas}
        engines |= {shown(name): False for name in service.pool.joining}
        status = "draining" if service.draining else "ready" if service.ready else "no engine is up"
        return JSONResponse({"status": status, "engines": engines}, 200 if service.ready else 503)

    async def metrics(self, request: Request) -> Response:
        """What Prometheus reads. Nothing of prompts or programs stands in it."""
        metrics = self._telemetry.metrics
        text = self._shown(request)(metrics.render().decode())
        return Response(text, media_type=metrics.content_type)

    async def models(self, request: Request) -> Response:
        """The models that engines serve, and the strategies that are offered as models."""
        self._tenant(request)
        cards = [_card(request, card) for card in self._cards()]
        ends = {"first_id": cards[0]["id"], "last_id": cards[-1]["id"]} if cards else {}
        more: dict[str, Any] = {"has_more": False, **ends} if _anthropic(request) else {}
        return JSONResponse({"object": "list", "data": cards, **more})

    async def model(self, request: Request) -> Response:
        """One of them."""
        self._tenant(request)
        id = request.path_params["id"]
        cards = {str(card["id"]): card for card in self._cards()}
        if id not in cards and await self._service.named.look_again():
            cards = {str(card["id"]): card for card in self._cards()}
        card = cards.get(id)
        if card is None and (behind := self._service.named.alias(id)) in cards:
            card = {**cards[behind], "id": id, "root": behind}
        if card is None:
            raise UnknownName("model", id, cards)
        return JSONResponse(_card(request, card))

    def _cards(self) -> list[Mapping[str, Any]]:
        """What engines tell of their models, with aliases and strategies."""
        named, strategies = self._service.named, self._service.strategies
        cards = {str(card["id"]): card for card in named.cards()}
        for name in strategies.names():
            base = named.card(strategies.base(name) or "") or {}
            length = {k: v for k, v in base.items() if k == "max_model_len"}
            own = {"id": name, "object": "model", "created": 0, "owned_by": "weft"}
            cards[name] = {**own, **length}
        return list(cards.values())

    async def programs(self, request: Request) -> Response:
        """Live programs, the latest first; with `ended=true` those that ended last too."""
        now, shown = time.time(), self._shown(request)
        found = sorted(self._seen(request), key=lambda p: -p.seen)
        data = [program_summary(p, now, shown) for p in found]
        return JSONResponse({"object": "list", "data": data})

    def _seen(self, request: Request) -> list[ProgramRecord]:
        """The programs that whoever asks may see."""
        service = self._service
        programs = list(service.registry.programs.values())
        if request.query_params.get("ended") in ("true", "1"):
            programs += service.registry.ended
        if service.keys.admin(_headers(request)):
            return programs
        tenant = self._tenant(request)
        return [p for p in programs if p.tenant == tenant]

    def _shown(self, request: Request) -> Callable[[str], str]:
        """How whoever asks sees texts that name engines."""
        service = self._service
        if not service.config.tenants or service.keys.admin(_headers(request)):
            return str
        return service.names.shown

    def _tenant(self, request: Request) -> str:
        """The name of the tenant that asks.

        Raises:
            Refused: no valid key came.
        """
        headers = _headers(request)
        tenant = self._service.keys.tenant(headers)
        if tenant is None:
            if self._service.keys.admin(headers):
                return ""
            raise Refused(401, "no valid API key came; send yours as authorization: Bearer KEY")
        return tenant.name

    def _one(self, request: Request) -> ProgramRecord:
        service, id = self._service, request.path_params["id"]
        admin = service.keys.admin(_headers(request))
        tenant = "" if admin else self._tenant(request)
        found = service.registry.get(id)
        if found is None and tenant:
            found = service.registry.get(f"{tenant}/{id}")
        # Whose it is must not show.
        if found is None or not (admin or hmac.compare_digest(found.tenant, tenant)):
            raise Refused(404, f"there is no program {id!r}; GET /v1/programs lists them")
        return found

    async def program(self, request: Request) -> Response:
        """One program with its calls."""
        found = program_detail(self._one(request), time.time(), self._shown(request))
        return JSONResponse(found)

    async def release(self, request: Request) -> Response:
        """A program is over: its room is free, and calls of it that still run are ended."""
        record = self._one(request)
        self._service.release(record)
        return JSONResponse({"id": record.id, "object": "program", "deleted": True})

    async def reload(self, _: Request) -> Response:
        """Read the configuration anew."""
        return JSONResponse({"done": await self._service.reload()})

    async def engines(self, _: Request) -> Response:
        """The engines, and how they are."""
        service = self._service
        found = [
            {
                "name": r.name,
                "shown": service.names.shown(r.name),
                "model": r.engine.model,
                "alive": r.alive,
                "draining": r.draining,
                "in_flight": r.in_flight,
                "error": str(r.error) if r.error else None,
            }
            for r in service.scheduler.replicas
        ]
        found += [
            {"name": n, "alive": False, "error": "not reached yet"} for n in service.pool.joining
        ]
        return JSONResponse({"data": found})

    async def drain(self, request: Request) -> Response:
        """Give an engine no new programs (POST), or again (DELETE)."""
        name = request.path_params["name"]
        replicas = {r.name: r for r in self._service.scheduler.replicas}
        if name not in replicas:
            raise UnknownName("engine", name, replicas)
        draining = request.method == "POST"
        self._service.scheduler.drain(replicas[name], draining)
        return JSONResponse({"name": name, "draining": draining})

    def _admin(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            if not self._service.keys.admin(_headers(request)):
                raise Refused(403, "this needs an admin key; send it as authorization: Bearer KEY")
            return await handler(request)

        return guarded


def _header(scope: Scope, header: bytes) -> str:
    found = (value for name, value in scope["headers"] if name.lower() == header)
    return next(found, b"").decode("latin-1")


def _headers(request: Request) -> dict[str, str]:
    return {key.lower(): value for key, value in request.headers.items()}


def _anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _card(request: Request, card: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a model; with what Anthropic's clients look for, if one asks."""
    if not _anthropic(request):
        return dict(card)
    created = datetime.fromtimestamp(_seconds(card.get("created")), UTC)
    own = {"type": "model", "display_name": card["id"], "created_at": f"{created:%FT%TZ}"}
    return {**card, **own}


def _seconds(value: object) -> int:
    return value if type(value) is int and 0 <= value < 1 << 35 else 0


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
