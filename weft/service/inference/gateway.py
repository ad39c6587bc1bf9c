"""Gateway: every request for inference, from the client's bytes to the scheduler and back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import anyio
import orjson
from starlette.types import Receive, Scope

from weft.errors import (
    ContextExceeded,
    EngineBusy,
    EngineSilent,
    EngineUnavailable,
    Refused,
    RequestFailed,
    RequestRejected,
    UnknownName,
    UsageError,
    WeftError,
)
from weft.service.client.encodings import ACCEPTED, decoded, encodings_of, no_text
from weft.service.client.exchange import Exchange
from weft.service.client.guard import too_deep
from weft.service.client.json_pieces import (
    CONTAINERS,
    MEMBERS,
    VALUES,
    NoJson,
    TooDeep,
    TooMany,
    read_pieces,
    take_apart,
)
from weft.service.door.tenants import Tenant
from weft.service.inference.aside import LARGE, aside
from weft.service.inference.choice import choose, only_name
from weft.service.inference.passing import pass_on
from weft.service.inference.request import ClientRequest
from weft.service.inference.scheduled import direct, run_scheduled
from weft.service.inference.strategy_answer import run_strategy
from weft.service.programs.records import LEFT, CallRecord, Outcome
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.errors.overflow import Overflow
from weft.service.protocols.protocol import Body, Protocol
from weft.service.protocols.unscheduled.passed import Passed
from weft.service.service import Service
from weft.service.strategies.forms import NoWholeAnswer
from weft.service.strategies.model import StrategyModel

_log = logging.getLogger(__name__)
_DEEP = "the body is nested deeper than 250 levels; flatten it"
_MANY = (
    f"the body has more than {CONTAINERS} lists and objects, more than {MEMBERS} members of "
    f"objects, or more than {VALUES} values; send less"
)


class Gateway:
    """The ASGI application of the inference endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, protocol: Protocol) -> None:
        """Serve one request."""
        exchange = Exchange(scope, receive)
        self._service.exchanges.add(exchange)
        try:
            await _Request(self._service, protocol, exchange).serve()
        finally:
            exchange.close()
            self._service.exchanges.discard(exchange)


class _Request:
    """One request on its way through the gateway."""

    def __init__(self, service: Service, protocol: Protocol, exchange: Exchange) -> None:
        self._service, self._protocol, self._exchange = service, protocol, exchange
        self._request: ClientRequest | None = None
        self._tenant: Tenant | None = None
        self._model = ""
        self._large: Body | None = None  # the body, if it is large
        self._refused: CallRecord | None = None

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
            _, retry_after = status_of(error)
            again, outcome = not final(error), _outcome(error)
            if exchange.cut is not None and (exchange.cut.status == 409 or exchange.alone):
                outcome = "cancelled"
            await self._fail(self._words(error), str(error), outcome, retry_after, again)
        except OSError:
            exchange.left = True  # the connection broke while something was sent
        except Exception:
            # A deadline in the same turn can swallow the cancellation of one whose client left.
            if not exchange.left:
                _log.exception("a request for %s failed", protocol.path)
            told = "weft failed at this request; its log says how"
            await self._fail(ErrorWords(500, told), told, "broken")
        finally:
            record = self._record
            if record is not None:
                if exchange.left and exchange.cut is None and record.outcome != "done":
                    record.status, record.outcome = LEFT, "cancelled"
                record.outcome = record.outcome or "broken"  # the service is stopped at once
                self._service.registry.call_ended(record)
            if self._large is not None:
                with anyio.CancelScope(shield=True):
                    await aside(take_apart, self._large)

    @property
    def _record(self) -> CallRecord | None:
        return (self._request.record if self._request is not None else None) or self._refused

    def _words(self, error: WeftError) -> ErrorWords:
        """What the client is told of an error."""
        status, _ = status_of(error)
        text, code = self._service.words(error), error.code if isinstance(error, Refused) else None
        if isinstance(error, NoWholeAnswer):
            return ErrorWords(status, text, about=error.about)
        if not isinstance(error, ContextExceeded):
            return ErrorWords(status, text, code=code)
        if error.context is not None:  # clients look for these words
            text = f"This model's maximum context length is {error.context} tokens, and {text}"
        over, record = Overflow.of(error), self._record
        estimate = record.prompt if record is not None else 0
        return self._protocol.overflow(ErrorWords(status, text), over, estimate)

    async def _fail(
        self,
        words: ErrorWords,
        error: str,
        outcome: Outcome,
        retry_after: float | None = None,
        again: bool = True,
    ) -> None:
        """Tell the client of an error.

        Args:
            words: what it is told.
            error: what the record says.
            outcome: how the request ended.
            retry_after: seconds after which the client may come again.
            again: whether it is of any use to come again.
        """
        exchange, protocol = self._exchange, self._protocol
        record = self._record or self._turn_away()
        if record is not None:
            if record.outcome != "done":  # else only what follows the answer was cut
                record.error = error
            if not (exchange.begun and record.first):  # else the head's status stays
                record.status = words.status
            if outcome == "refused" and record.first and words.status >= 500:
                outcome = "broken"  # the answer had begun
            record.outcome = record.outcome or outcome
            if not exchange.begun:
                self._service.tell(exchange, record)
        elif not exchange.begun:
            self._service.name(exchange, self._service.registry.new_id())
        if exchange.begun and self._request and self._request.opaque and not exchange.ended:
            exchange.break_off()
        if not (exchange.left or exchange.ended):
            event = protocol.error_event(words, exchange.answer)
            await exchange.refuse(words.status, protocol.error(words), event, retry_after, again)

    def _turn_away(self) -> CallRecord | None:
        """The record of a request that was refused before it had one, if a tenant sent it."""
        if self._tenant is not None:
            tenant, model = self._tenant.name, self._model
            self._refused = self._service.registry.lone(tenant, "", self._protocol.path, model)
        return self._refused

    async def _answer(self) -> None:
        service, exchange, protocol = self._service, self._exchange, self._protocol
        limits = service.config.limits
        if service.origins:  # first, for pages are to read what is wrong
            for name, value in service.origins.headers(exchange.headers.get("origin", "")):
                exchange.add(name, value.decode("latin-1"))
        if foreign := service.hosts.refusal(exchange.headers.get("host", "")):
            raise Refused(403, foreign)
        tenant = service.keys.tenant(exchange.headers)
        if tenant is None:
            raise Refused(
                401, "no valid API key came; send yours as authorization: Bearer KEY or x-api-key"
            )
        self._tenant = tenant
        if service.draining:
            raise Refused(503, "the service is stopping; try again", 5.0)
        if len(service.exchanges) > limits.open_streams:
            raise Refused(503, f"{limits.open_streams} requests are under way already", 1.0)
        encodings: list[str] = []
        if exchange.encodings:
            exchange.add(b"accept-encoding", ACCEPTED)
            encodings = encodings_of(exchange.encodings)
        await exchange.read(limits.body_bytes)
        if exchange.left:
            return
        if encodings:
            exchange.raw = await aside(decoded, exchange.raw, encodings, limits.body_bytes)
        if isinstance(protocol, Passed):
            request = self._request = ClientRequest(service, protocol, exchange, tenant, {})
            await pass_on(request)
            return
        if len(exchange.raw) > LARGE:
            body = self._large = await aside(self._parse, read_pieces)
        else:
            body = self._parse(orjson.loads)
        if body.get("model") is None:  # only of what needs none
            body["model"] = only_name(service)
        self._model = body["model"]
        chosen = await choose(service, body["model"])
        request = self._request = ClientRequest(service, protocol, exchange, tenant, body)
        if isinstance(chosen, StrategyModel):
            await run_strategy(request, chosen)
        elif protocol.schedules:
            await run_scheduled(request, chosen)
        else:
            await direct(request, chosen)

    def _parse(self, read: Callable[[bytes], Any]) -> Body:
        """The body, if it is one of this protocol.

        Raises:
            UsageError: it is not.
        """
        raw = self._exchange.raw
        try:
            parsed = read(raw)
        except (orjson.JSONDecodeError, NoJson) as error:
            said = f"the body is not JSON: {error}; send valid JSON"
            raise UsageError(no_text(raw) or said) from None
        except TooDeep:
            raise UsageError(_DEEP) from None
        except TooMany:
            raise Refused(413, _MANY) from None
        if not isinstance(parsed, dict):
            raise UsageError("the body must be a JSON object")
        body = cast(Body, parsed)
        if read is not read_pieces and too_deep(raw, body):
            raise UsageError(_DEEP)
        if problem := self._protocol.check(body):
            if read is read_pieces:
                take_apart(body)
            raise UsageError(problem)
        return body


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
        case EngineBusy():
            return 503, error.retry_after or 2.0
        case RequestFailed():
            return (error.status if error.status >= 400 else 502), None
        case EngineUnavailable():
            return 503, 2.0
        case UsageError() | ContextExceeded() | RequestRejected():
            return 400, None
        case _:
            return 500, None


def final(error: WeftError) -> bool:
    """Whether it is of no use to send the same again, though the status says that it may be."""
    match error:
        case Refused():
            return error.retry_after is None and error.status in (409, 429, 502, 503)
        case RequestFailed():
            return error.status in (501, 505)
        case _:
            return False


def _outcome(error: WeftError) -> Outcome:
    """How a request ended that an error ended."""
    match error:
        case Refused(status=408) | EngineSilent():
            return "timed_out"
        case Refused(status=502):
            return "broken"
        case Refused() | EngineBusy() | ContextExceeded() | RequestRejected() | UsageError():
            return "refused"
        case _:
            return "broken"
