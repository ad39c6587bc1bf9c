"""Gateway: every request for inference, from the client's bytes to the scheduler and back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

import orjson
from starlette.types import Receive, Scope, Send

from weft.errors import (
    ContextExceeded,
    EngineUnavailable,
    Refused,
    RequestRejected,
    UnknownName,
    UsageError,
    WeftError,
)
from weft.service.call import TextCall
from weft.service.conversations import Turn
from weft.service.core import Core
from weft.service.exchange import STREAM, Exchange
from weft.service.forward import Forward
from weft.service.guard import too_deep
from weft.service.identity import Identity, identify
from weft.service.protocols import PROTOCOLS
from weft.service.protocols.errors import NO_RESPONSE
from weft.service.protocols.protocol import Body, Protocol
from weft.service.records import LEFT, CallRecord, ProgramRecord
from weft.service.strategy_calls import StrategyCalls
from weft.service.strategy_model import StrategyModel
from weft.service.tenants import Tenant
from weft.service.text import TextPrefix

_log = logging.getLogger(__name__)
_GUESS = 256  # tokens of an answer that says no limit


class Gateway:
    """The ASGI application of the inference endpoints."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        protocol = PROTOCOLS[scope["path"]]
        exchange = Exchange(scope, receive)
        self._core.exchanges.add(exchange)
        try:
            await _Request(self._core, protocol, exchange).serve()
        finally:
            exchange.close()
            self._core.exchanges.discard(exchange)


class _Request:
    """One request on its way through the gateway."""

    def __init__(self, core: Core, protocol: Protocol, exchange: Exchange) -> None:
        self._core, self._protocol, self._exchange = core, protocol, exchange
        self._record: CallRecord | None = None

    async def serve(self) -> None:
        """Answer, whatever happens."""
        exchange, protocol = self._exchange, self._protocol
        try:
            try:
                await self._answer()
            except asyncio.CancelledError:
                if not exchange.ours:
                    raise
                uncancel()
                if exchange.cut is not None:
                    raise exchange.cut from None
        except WeftError as error:
            status, retry_after = status_of(error)
            code = error.code if isinstance(error, Refused) else None
            await self._fail(status, str(error), retry_after, self._core.words(error), code)
        except OSError:
            exchange.left = True  # the connection broke while something was sent
        except Exception:
            _log.exception("a request for %s failed", protocol.path)
            await self._fail(500, "weft failed at this request; its log says how")
        finally:
            if self._record is not None:
                if exchange.left and exchange.cut is None:
                    self._record.status = LEFT
                self._core.registry.call_ended(self._record)

    async def _fail(
        self,
        status: int,
        message: str,
        retry_after: float | None = None,
        words: str | None = None,
        code: str | None = None,
    ) -> None:
        exchange, record = self._exchange, self._record
        if record is not None:
            record.status, record.error = status, message
            if not exchange.begun:
                self._core.tell(exchange, record)
        if not exchange.left:
            await exchange.refuse(
                status,
                self._protocol.error(status, words or message, code),
                self._protocol.error_event(words or message, exchange.answer),
                retry_after,
            )

    async def _answer(self) -> None:
        core, exchange, protocol = self._core, self._exchange, self._protocol
        limits = core.config.limits
        if foreign := core.hosts.refusal(exchange.headers.get("host", "")):
            raise Refused(403, foreign)
        tenant = core.keys.tenant(exchange.headers)
        if tenant is None:
            raise Refused(
                401, "no valid API key came; send yours as authorization: Bearer KEY or x-api-key"
            )
        if core.draining:
            raise Refused(503, "the service is stopping; try again", 5.0)
        if len(core.exchanges) > limits.open_streams:
            raise Refused(503, f"{limits.open_streams} requests are under way already", 1.0)
        await exchange.read(limits.body_bytes)
        if exchange.left:
            return
        body = self._parsed()
        model: str = body["model"]
        strategy = core.strategies.find(model)
        if strategy is None and not core.serves(model):
            if not core.served():
                raise Refused(503, "no engine can be reached yet; try again", 5.0)
            raise UnknownName("model", model, [*core.served(), *core.strategies.names()])
        if strategy is not None:
            await self._strategy(tenant, body, strategy)
        elif protocol.schedules:
            await self._call(tenant, body, model)
        else:
            await self._direct(tenant, body, model)

    def _parsed(self) -> Body:
        """The body, if it is one of this protocol.

        Raises:
            UsageError: it is not.
        """
        raw = self._exchange.raw
        try:
            parsed: Any = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"the body is not JSON: {error}; send valid JSON") from None
        if not isinstance(parsed, dict):
            raise UsageError("the body must be a JSON object")
        body = cast(Body, parsed)
        if too_deep(raw, body):
            raise UsageError("the body is nested deeper than 250 levels; flatten it")
        if problem := self._protocol.check(body):
            raise UsageError(problem)
        return body

    def _begin(
        self, tenant: Tenant, identity: Identity, id: str, source: str, model: str
    ) -> CallRecord:
        """The record of a call in its program's."""
        core, prefix = self._core, f"{tenant.name}/" if tenant.name else ""
        parent = f"{prefix}{identity.parent}" if identity.parent else ""
        program = core.registry.begin(id, tenant.name, identity.name, source, parent)
        core.began(program, tenant)
        record = core.registry.call(program, self._protocol.path, model)
        record.trace = self._exchange.headers.get("traceparent", "")
        self._record, self._exchange.program = record, id
        return record

    async def _call(self, tenant: Tenant, body: Body, model: str) -> None:
        """A call of a program."""
        core, protocol, exchange = self._core, self._protocol, self._exchange
        identity = identify(exchange.headers, body)
        changed = protocol.mend(body)
        pieces = protocol.pieces(body)
        prefix = f"{tenant.name}/" if tenant.name else ""
        named = f"{prefix}{identity.id}" if identity.id else ""
        turn = core.conversations.find(
            tenant.name,
            model,
            pieces,
            core.chunk(model),
            program=named,
            salt=tenant.salt,
            previous=protocol.previous(body),
            resent=identity.resent,
            key=identity.key,
        )
        answer: str | None = None
        try:
            answer = await self._run(tenant, body, model, identity, turn, pieces, changed)
        finally:
            done = answer is not None and self._record is not None
            prompt = self._record.prompt if done and self._record is not None else 0
            engine = self._record.engine if done and self._record is not None else ""
            core.conversations.ended(
                turn, prompt=prompt, failed=not done, answer=answer or "", engine=engine
            )

    async def _run(
        self,
        tenant: Tenant,
        body: Body,
        model: str,
        identity: Identity,
        turn: Turn,
        pieces: Sequence[bytes],
        changed: bool,
    ) -> str | None:
        """Schedule a call, within the limits; returns the answer's id if it was answered."""
        core, protocol, exchange = self._core, self._protocol, self._exchange
        limits, id = core.config.limits, turn.program
        size, new = core.block_size(model), id not in core.registry.programs
        if refused := core.load.check(limits.queue, limits.queue_seconds, new):
            raise refused
        if turn.engine and not core.has(model, turn.engine):
            said = f"Previous response with id {protocol.previous(body)!r} not found."
            raise Refused(400, said, code=NO_RESPONSE)
        limit = protocol.limit(body)
        expected = turn.tokens + (_GUESS if limit is None else min(limit, _GUESS))
        if refusal := tenant.enter(expected):
            raise Refused(429, refusal.message, refusal.seconds)
        used = expected
        try:
            source = identity.source or "conversation"
            record = self._begin(tenant, identity, id, source, model)
            record.prompt = turn.tokens

            def chain(wanted: int) -> Sequence[int]:
                if wanted == size:
                    return turn.prefix.hashes
                root = turn.prefix.root
                return TextPrefix.of(pieces, turn.prefix.chunk * wanted // size, root).hashes

            call = TextCall(record.id, model, id, turn.tokens, limit, chain, identity.stage)
            call.only = turn.engine
            raw = self._raw(body, tenant, changed)
            core.changed(turn, size)
            earlier = core.turns.take(id, exchange.raw)
            forward = Forward(core, exchange, protocol, body, raw, record)
            await forward.scheduled(call, earlier)
            used = record.prompt + record.generated
            return forward.answer if record.status == 200 and not record.error else None
        finally:
            tenant.leave(expected, used)
            core.changed(turn, size)

    def _raw(self, body: Body, tenant: Tenant, changed: bool) -> bytes:
        """What the engine gets: the client's own bytes, with little more."""
        extra = self._protocol.extra(body)
        if tenant.salt:
            own = body.get("cache_salt")
            if own is None:
                extra = b'"cache_salt":"%b"%b%b' % (
                    tenant.salt.encode(),
                    b"," if extra else b"",
                    extra,
                )
            else:
                changed = True
                body["cache_salt"] = sha256(f"{tenant.salt}:{own}".encode()).hexdigest()
        raw = orjson.dumps(body) if changed else self._exchange.raw
        if extra:
            start = raw.index(b"{") + 1
            raw = b"%b%b,%b" % (raw[:start], extra, raw[start:])
        return raw

    async def _direct(self, tenant: Tenant, body: Body, model: str) -> None:
        """A request that generates nothing."""
        core, exchange = self._core, self._exchange
        fleet = core.scheduler.dispatcher.fleets[model]
        if not fleet.engines:
            raise core.scheduler.dispatcher.no_engine(fleet)
        if refusal := tenant.enter(0):
            raise Refused(429, refusal.message, refusal.seconds)
        identity = identify(exchange.headers, body)
        now = core.registry.clock()
        # It is no part of a program's course, and leaves no record.
        nowhere = ProgramRecord("", tenant.name, identity.name, "", "", now, now)
        record = self._record = CallRecord(
            core.registry.new_id(), nowhere, self._protocol.path, model, now
        )
        nowhere.live[record.id] = record
        changed = self._protocol.mend(body)
        raw = orjson.dumps(body) if changed else exchange.raw
        try:
            forward = Forward(core, exchange, self._protocol, body, raw, record)
            replicas = sorted(fleet.engines, key=lambda r: r.in_flight)
            await forward.direct(replicas[: 1 + core.config.limits.retries])
        finally:
            tenant.leave(0, record.prompt)

    async def _strategy(self, tenant: Tenant, body: Body, model: StrategyModel) -> None:
        """A strategy, which answers as a model would."""
        core, protocol, exchange = self._core, self._protocol, self._exchange
        path = protocol.path
        if path not in ("/v1/chat/completions", "/v1/responses"):
            raise UsageError(
                f"{path} does not run strategies; ask {model.name!r} at /v1/chat/completions or "
                "/v1/responses"
            )
        if refused := core.load.check(
            core.config.limits.queue, core.config.limits.queue_seconds, True
        ):
            raise refused
        if refusal := tenant.enter(_GUESS):
            raise Refused(429, refusal.message, refusal.seconds)
        used = _GUESS
        try:
            identity = identify(exchange.headers, body)
            prefix = f"{tenant.name}/" if tenant.name else ""
            # A run of its own, linked to the program that asks.
            id = f"{prefix}{identity.id or 'run'}:{core.registry.new_id()}"
            own = replace(identity, parent=identity.id) if identity.id else identity
            record = self._begin(tenant, own, id, "strategy", model.name)
            record.sent = record.came
            calls = StrategyCalls(core.registry, record)
            asked = (body, path, id, tenant.name, tenant.salt, calls)
            with calls:
                if protocol.streamed(body):
                    async with model.answer(*asked) as events:
                        record.first, record.status = core.registry.clock(), 200
                        core.tell(exchange, record)
                        await exchange.begin(200, STREAM)
                        async for event in events:
                            await exchange.part(event)
                        await exchange.end()
                    found = events.used
                else:
                    answer = await model.whole(*asked)
                    record.status = 200
                    core.tell(exchange, record)
                    await exchange.whole(200, orjson.dumps(answer))
                    found = protocol.used(answer)
            record.prompt, record.generated = found.prompt, found.generated
            record.cached = found.cached or 0
            used = record.prompt + record.generated
        finally:
            tenant.leave(_GUESS, used)
            core.scheduler.end(exchange.program)


def uncancel() -> None:
    """Take back the cancellation that the current task has just seen."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def status_of(error: WeftError) -> tuple[int, float | None]:
    """The HTTP status of an error, and after how many seconds to come back."""
    match error:
        case Refused():
            return error.status, error.retry_after
        case UnknownName() if error.kind in ("model", "engine"):
            return 404, None
        case EngineUnavailable():
            return 503, 2.0
        case UsageError() | ContextExceeded() | RequestRejected():
            return 400, None
        case _:
            return 500, None
