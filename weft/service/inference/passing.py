"""Passing: requests that weft does not schedule, handed to an engine as they are.

Rerankers, classifiers, speech and files come under the same keys and limits as all else.
"""

from __future__ import annotations

from urllib.parse import quote

from weft.backends.http.refusals import server_message
from weft.errors import EngineSilent, EngineUnavailable, Refused, UsageError
from weft.orchestrator.dispatch.replica import Replica
from weft.service.client.client import Header
from weft.service.client.exchange import BREAK, JSON
from weft.service.engines.reply import Reply
from weft.service.engines.served_names import Served
from weft.service.inference.choice import choose, first_able
from weft.service.inference.refusing import raise_failure
from weft.service.inference.request import ClientRequest
from weft.service.programs.records import CallRecord
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.reading import model_problem
from weft.service.protocols.unscheduled.passed import StoredResponse, asked_model, renamed
from weft.service.strategies.model import StrategyModel

_SENT = ("content-type", "accept", "range", "openai-beta")
"""Headers that say what is sent or wished."""
_EVENTS = b"text/event-stream"
_TOLD = frozenset((b"content-disposition", b"content-range", b"accept-ranges"))
"""Headers of answers that clients get too."""


async def pass_on(request: ClientRequest) -> None:
    """Have an engine answer, whatever it says.

    Raises:
        UsageError, UnknownName: nothing serves the model.
        EngineError, Refused: no answer came.
    """
    service, exchange, tenant = request.service, request.exchange, request.tenant
    kind, raw = exchange.headers.get("content-type", ""), exchange.raw
    stored = isinstance(request.protocol, StoredResponse)
    model = asked_model(kind, raw) if raw and not stored else ""
    if model and (problem := model_problem({"model": model})):
        raise UsageError(problem)
    if stored:
        replicas = [_holder(request)]
        name = replicas[0].engine.model
    else:
        served = await _serving(request, model)
        name = served.name
        if model and name != model:
            raw = renamed(kind, raw, name)
        await service.scheduler.await_engine(served.model)
        replicas = service.named.replicas(served)
        if not replicas:
            raise service.scheduler.away(served.model, served.only)
        if model:
            replicas.sort(key=lambda r: r.in_flight)
    if refusal := tenant.enter(0):
        raise Refused(429, refusal.message, refusal.seconds)
    path, who = request.protocol.path, request.identity.name
    record = request.record = service.registry.lone(tenant.name, who, path, name)
    record.sent = record.came
    given = exchange.headers
    headers: list[Header] = [
        (b"x-request-id", record.id.encode()),
        *[
            (name.encode(), given[name].encode("latin-1"))
            for name in dict.fromkeys((*_SENT, *service.forwarded))
            if name in given
        ],
    ]
    target = quote(exchange.path, safe="/:@!$&'()*+,;=~")
    if exchange.query:
        target += f"?{exchange.query.decode('latin-1')}"

    async def send(replica: Replica) -> None:
        record.engine, record.attempts = replica.name, record.attempts + 1
        upstream = service.upstreams[replica]
        reply = await upstream.send(exchange.method, target, headers, raw)
        try:
            if reply.status >= 400:
                await raise_failure(reply, upstream.url)
            first = await reply.read()
            record.status, record.first = reply.status, service.registry.clock()
            broke = await _answer(request, record, reply, first)
            if broke is not None:
                await service.scheduler.check(replica, broke)
        finally:
            reply.close()

    try:
        # What may have been done already must not be done twice.
        once = exchange.method != "GET" and not model
        most = 1 if once else 1 + service.config.limits.retries
        await service.scheduler.send_unscheduled(replicas[:most], send)
    finally:
        tenant.leave(0, record.prompt)


def _holder(request: ClientRequest) -> Replica:
    """The engine that holds the response that is asked for.

    Raises:
        Refused: no engine does, or it is away.
    """
    service, id = request.service, StoredResponse.id(request.exchange.path)
    engine = service.holders.engine(request.tenant.name, id)
    replicas = service.scheduler.replicas
    if not engine and len(replicas) == 1 and not service.config.tenants:
        engine = replicas[0].name  # it may be from elsewhere, and nobody else could have it
    found = next((replica for replica in replicas if replica.name == engine), None)
    if found is None:
        raise Refused(404, f"Response with id {id!r} not found.", code="response_not_found")
    if not found.alive:
        raise Refused(503, "the engine that holds this response is away; try again", 2.0)
    return found


async def _serving(request: ClientRequest, model: str) -> Served:
    """What is to answer: by the model, or, where none is named, always the same."""
    service = request.service
    model = model or request.exchange.headers.get("x-weft-model", "")
    if model:
        chosen = await choose(service, model)
        if isinstance(chosen, StrategyModel):
            raise UsageError(f"{request.exchange.path} does not run strategies; name a model")
        return first_able(service, chosen)[0]
    found = next(iter(service.named), None)
    served = service.named.get(found) if found is not None else None
    if served is None:
        raise Refused(503, "no engine can be reached yet; try again", 5.0)
    return served


async def _answer(
    request: ClientRequest, record: CallRecord, reply: Reply, part: bytes
) -> EngineUnavailable | None:
    """Give the client what the engine answers, as it comes; returns how it broke, if it did.

    Args:
        request: the client's.
        record: of the call.
        reply: of the engine.
        part: what has come of it.
    """
    exchange, kind = request.exchange, reply.kind or JSON
    request.service.tell(exchange, record)
    if reply.status >= 400:
        record.error = f"the engine answered {reply.status}: {server_message(part)}"
    for name, value in reply.headers:
        if name in _TOLD:
            exchange.add(name, value.decode("latin-1"))
    if part:
        request.opaque = not kind[1].startswith(_EVENTS)
        await exchange.begin(reply.status, kind, part)
        try:
            while part := await reply.read():
                await exchange.part(part)
        except EngineUnavailable as error:
            silent = isinstance(error, EngineSilent)
            record.error, record.outcome = str(error), "timed_out" if silent else "broken"
            if request.opaque:  # only the end of the connection can tell
                exchange.break_off()
            else:
                words = ErrorWords(504 if silent else 502, request.service.words(error))
                await exchange.end(BREAK + request.protocol.error_event(words))
            return error
        await exchange.end()
    else:
        await exchange.whole(reply.status, b"", kind)
    record.outcome = "done" if reply.status < 400 else "refused"
    return None
