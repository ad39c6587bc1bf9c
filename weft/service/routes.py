"""Routes: what is asked of the service besides inference."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from weft.errors import Refused, UnknownName, WeftError
from weft.service.openapi import document
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.service import Service
from weft.service.watch import dashboard
from weft.service.watch.snapshot import call_view, program_detail, program_summary
from weft.service.watch.telemetry import Telemetry
from weft.types import GATEWAY

Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """What is asked seldom: models, programs, engines, and the state of the service.

    Args:
        service: what is asked about.
        telemetry: metrics and overview.
    """

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
            Route("/v1/calls/{id}", self.call),
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
        if "client_version" in request.query_params:
            # Codex. An entry of its list brings the instructions and tools of its own models
            # along, so there is none: it then treats a model as one that it does not know.
            more["models"] = []
        listed = {"object": "list", "data": cards, **more}
        return JSONResponse(listed, headers={GATEWAY: "gateway"})

    async def model(self, request: Request) -> Response:
        """One of them."""
        self._tenant(request)
        id = request.path_params["id"]
        cards = {str(card["id"]): card for card in self._cards()}
        if id not in cards and await self._service.named.look_again():
            cards = {str(card["id"]): card for card in self._cards()}
        named = self._service.named
        card, behind = cards.get(id) or named.card(id), named.alias(id)
        if card is not None and card["id"] != id:
            card = {**card, "id": id, "root": behind}
        elif card is None and behind in cards:
            card = {**cards[behind], "id": id, "root": behind}
        card = card or self._strategy(id, id) or (self._strategy(id, behind) if behind else None)
        if card is None:
            raise UnknownName("model", id, {*cards, *self._service.config.aliases})
        return JSONResponse(_card(request, card))

    def _cards(self) -> list[Mapping[str, Any]]:
        """What engines tell of their models, with aliases and strategies."""
        named, strategies = self._service.named, self._service.strategies
        cards = {str(card["id"]): card for card in named.cards()}
        for name in strategies.names():
            cards[name] = _strategy_card(name, named.card(strategies.base(name) or ""))
        for alias, name in self._service.config.aliases.items():
            if "*" not in alias and alias not in cards and (card := self._strategy(alias, name)):
                cards[alias] = card
        return list(cards.values())

    def _strategy(self, id: str, name: str) -> Mapping[str, Any] | None:
        """What is told of a strategy that need not be listed, under an id; None if it is none."""
        try:
            found = self._service.strategies.find(name)
        except WeftError:
            return None
        if found is None:
            return None
        return _strategy_card(id, self._service.named.card(found.roles["solver"]))

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
        found = self._seen_as(request, self._service.registry.get)
        if found is None:
            id = request.path_params["id"]
            raise Refused(404, f"there is no program {id!r}; GET /v1/programs lists them")
        return found

    def _seen_as(
        self, request: Request, find: Callable[[str], ProgramRecord | None]
    ) -> ProgramRecord | None:
        """What is found by the id in a path, if whoever asks may see it: whose it is is secret."""
        id = request.path_params["id"]
        admin = self._service.keys.admin(_headers(request))
        tenant = "" if admin else self._tenant(request)
        found = find(id)
        if found is None and tenant:
            found = find(f"{tenant}/{id}")
        seen = found is not None and (admin or hmac.compare_digest(found.tenant, tenant))
        return found if seen else None

    async def program(self, request: Request) -> Response:
        """One program with its calls."""
        shown = self._shown(request)
        found = program_detail(self._one(request), time.time(), shown, others=shown is str)
        return JSONResponse(found)

    async def call(self, request: Request) -> Response:
        """One call: where it went, and the causes of its wait and of what was not cached."""
        found: CallRecord | None = None

        def find(id: str) -> ProgramRecord | None:
            nonlocal found
            found = self._service.registry.call_of(id)
            return found.program if found is not None else None

        if self._seen_as(request, find) is None or found is None:
            id = request.path_params["id"]
            raise Refused(404, f"there is no call {id!r}; GET /v1/programs/ID lists a program's")
        shown = self._shown(request)
        view = call_view(found, time.time(), shown, others=shown is str)
        return JSONResponse({**view, "program": found.program.id})

    async def release(self, request: Request) -> Response:
        """A program is over: its room is free, and calls of it that still run are ended."""
        run = self._seen_as(request, self._service.registry.run_of)
        # A program that only asked strategies has no record, but its runs have.
        id = run.parent if run is not None else self._one(request).id
        self._service.release(id)
        return JSONResponse({"id": id, "object": "program", "deleted": True})

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


def _headers(request: Request) -> dict[str, str]:
    return {key.lower(): value for key, value in request.headers.items()}


def _anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _strategy_card(id: str, base: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What is told of a strategy on a model."""
    length = {k: v for k, v in (base or {}).items() if k == "max_model_len"}
    return {"id": id, "object": "model", "created": 0, "owned_by": "weft", **length}


def _card(request: Request, card: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a model; with what Anthropic's clients look for, if one asks."""
    if not _anthropic(request):
        return dict(card)
    created = datetime.fromtimestamp(_seconds(card.get("created")), UTC)
    own = {"type": "model", "display_name": card["id"], "created_at": f"{created:%FT%TZ}"}
    return {**card, **own}


def _seconds(value: object) -> int:
    return value if type(value) is int and 0 <= value < 1 << 35 else 0
