"""Requests that engines answer: through the scheduler, or at once if they generate nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from hashlib import sha256

from weft.errors import ContextExceeded, EngineBusy, EngineUnavailable, Refused, RequestFailed
from weft.service.engines.served_names import Served
from weft.service.inference.aside import LARGE, aside, aside_if_large, written
from weft.service.inference.choice import first_able, holding
from weft.service.inference.forward import Forward
from weft.service.inference.request import GUESS, ClientRequest
from weft.service.inference.sending import spliced
from weft.service.inference.text_call import TextCall
from weft.service.protocols.errors.error_words import NO_RESPONSE
from weft.service.protocols.protocol import Body, Protocol
from weft.service.recognition.known_requests import (
    ConversationPlace,
    History,
    history_of,
    root_of,
    seed_of,
)
from weft.service.recognition.text_prefix import TextPrefix

_PATIENCE = 0.5
"""Share of the longest wait after which a call is overdue: the rest is for running ones to end."""


_LONG = 4096
"""Bytes of a system prompt that is an agent's."""

_AWAY = (EngineUnavailable, EngineBusy, RequestFailed, ContextExceeded, Refused)
"""What may be raised where another model could do."""


def run_scheduled(request: ClientRequest, chosen: Sequence[Served]) -> Awaitable[None]:
    """Answer a call of a program by the first that can of what its model stands for.

    Raises:
        EngineError, Refused: nothing was sent to the client yet, unless
            its stream was kept open meanwhile.
    """
    if len(chosen) == 1:
        return _serve(request, chosen[0], chosen[0])
    service = request.service
    previous = request.protocol.previous(request.body)
    engine = service.holders.engine(request.tenant.name, previous) if previous else ""
    if engine:  # no other engine knows the response
        return _serve(request, next(iter(holding(service, chosen, engine)), chosen[0]), chosen[0])
    return _serve_by_first(request, first_able(service, chosen), chosen[0])


async def _serve_by_first(request: ClientRequest, chosen: Sequence[Served], asked: Served) -> None:
    for at, served in enumerate(chosen[:-1], 1):
        request.fallbacks = chosen[at:]
        try:
            return await _serve(request, served, asked)
        except _AWAY as error:
            if not request.falls_back(error):
                raise
    request.fallbacks = ()
    await _serve(request, chosen[-1], asked)


async def _serve(request: ClientRequest, served: Served, asked: Served) -> None:
    """Answer a call by an engine of a model, though perhaps another was asked for."""
    service, protocol, body = request.service, request.protocol, request.body
    tenant, identity, model = request.tenant, request.identity, served.model
    exchange = request.exchange
    named = request.named(identity.id)
    request.check(named)
    request.serve_by(served)
    chunk, measured, previous = service.chunk(model), None, protocol.previous(body)
    if len(exchange.raw) > LARGE and not previous:
        root = root_of(tenant.salt, served.adapter)
        seed = seed_of(tenant.name, asked.adapter or asked.model, identity.who)
        changed, pieces, measured = await aside(_measure, protocol, body, seed, chunk, root)
    else:
        changed, pieces = protocol.mend(body), protocol.pieces(body)
    request.changed = request.changed or changed
    place = service.conversations.find(
        tenant.name,
        model,
        pieces,
        chunk,
        measured=measured,
        program=named,
        salt=tenant.salt,
        previous=previous,
        resent=identity.resent,
        key=identity.key,
        asked=asked.adapter or asked.model,
        adapter=served.adapter,
        who=identity.who,
        host=exchange.host,
    )
    if previous and not place.engine:
        place.engine = service.holders.engine(tenant.name, previous)
    answer: str | None = None
    text = ""
    try:
        if not named:
            request.check(place.program)
        answer, text = await _run(request, served, place, pieces)
    finally:
        record = request.record if answer is not None else None
        if record is not None and answer and body.get("store") is not False:
            service.note_holder(tenant.name, answer, record.engine)
        service.conversations.end(
            place,
            prompt=record.prompt if record is not None and record.counted else 0,
            failed=record is None,
            answer=answer or "",
            engine=record.engine if record is not None else "",
            generated=record.generated if record is not None else 0,
            tool=record.tool if record is not None else "",
            text=text,
        )


def _measure(
    protocol: Protocol, body: Body, seed: int, chunk: int, root: int
) -> tuple[bool, list[bytes], tuple[History, TextPrefix]]:
    """Whether a body was mended, the pieces of its prompt, their history and their prefix."""
    changed, pieces = protocol.mend(body), protocol.pieces(body)
    return changed, pieces, (history_of(pieces, seed), TextPrefix.of(pieces, chunk, root))


async def _run(
    request: ClientRequest,
    served: Served,
    place: ConversationPlace,
    pieces: Sequence[bytes],
) -> tuple[str | None, str]:
    """Schedule a call, within the limits; returns the answer's id if it was answered, and its text.

    The text is the end of it, and there only where it may be a summary of the conversation.
    """
    service, protocol, exchange = request.service, request.protocol, request.exchange
    tenant, body, identity = request.tenant, request.body, request.identity
    limits, id, model = service.config.limits, place.program, served.model
    size, new = service.block_size(model), id not in service.registry.programs
    if refused := service.load.check(limits.queue, limits.queue_seconds, new):
        raise refused
    if place.engine and not service.has(model, place.engine):
        said = f"Previous response with id {protocol.previous(body)!r} not found."
        raise Refused(400, said, code=NO_RESPONSE)
    limit = protocol.limit(body)
    context = service.named.context(served) if request.fallbacks else None
    if context is not None and place.tokens + (limit or 1) > context:
        raise ContextExceeded(
            f"about {place.tokens} tokens, and those of the answer, do not fit the context of "
            f"{served.name}, which holds {context}; shorten the prompt"
        )
    expected = place.tokens + (GUESS if limit is None else min(limit, GUESS))
    if refusal := tenant.enter(expected):
        raise Refused(429, refusal.message, refusal.seconds)
    used = expected
    try:
        source = identity.source or "conversation"
        record = request.begin(id, source, served.name, identity.parent)
        record.prompt, record.media = place.tokens, place.head.media
        if request.streamed:
            exchange.keep_open(lambda: service.tell(exchange, record))

        def chain(wanted: int) -> Sequence[int]:
            root = place.prefix.root
            return TextPrefix.of(pieces, place.prefix.chunk * wanted // size, root).hashes

        hashes, stage = place.prefix.hashes, identity.stage
        call = TextCall(record.id, model, id, place.tokens, limit, hashes, size, chain, stage)
        call.only = (place.engine,) if place.engine else served.only
        call.stays = not request.fallbacks
        call.patience = limits.queue_seconds * _PATIENCE
        # Written out: of each request, a coroutine more would cost as much as all of this.
        raw = await aside(_raw, request) if len(exchange.raw) > LARGE else _raw(request)
        service.mark_changed(place, size)
        earlier = service.places.take(id, exchange.raw)
        summed_up = not identity.id and not place.new and _is_agents(pieces)
        forward = Forward(request, raw, keeps=summed_up)
        await forward.schedule(call, earlier)
        used = record.prompt + record.generated
        answer = forward.answer if forward.kept else ""
        return (answer, forward.text) if record.outcome == "done" else (None, "")
    finally:
        tenant.leave(expected, used)
        service.mark_changed(place, size)


def _is_agents(pieces: Sequence[bytes]) -> bool:
    """Whether a prompt is an agent's, which may have its conversation summed up."""
    return pieces[0].startswith(b"[") or len(pieces[0]) >= _LONG


def _raw(request: ClientRequest) -> bytes:
    """What the engine gets: the client's own bytes, with little more."""
    changed, tenant, body = request.changed, request.tenant, request.body
    extra = request.protocol.extra(body)
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
    raw = written(body, request.exchange.raw) if changed else request.exchange.raw
    return spliced(raw, extra) if extra else raw


async def direct(request: ClientRequest, chosen: Sequence[Served]) -> None:
    """Answer a request that generates nothing by an engine of what its model stands for.

    Raises:
        EngineError, Refused: no answer came.
    """
    service, protocol, exchange = request.service, request.protocol, request.exchange
    tenant, body = request.tenant, request.body
    served = first_able(service, chosen)[0]
    request.serve_by(served)
    await service.scheduler.await_engine(served.model)
    if refusal := tenant.enter(0):
        raise Refused(429, refusal.message, refusal.seconds)
    name = request.identity.name
    record = request.record = service.registry.lone(tenant.name, name, protocol.path, served.name)
    try:
        changed = protocol.mend(body) or request.changed
        raw = exchange.raw
        if changed:
            raw = await aside_if_large(len(raw), written, body, raw)
        forward = Forward(request, raw)
        replicas = sorted(service.named.replicas(served), key=lambda r: r.in_flight)
        if not replicas:
            raise service.scheduler.away(served.model, served.only)
        await forward.direct(replicas[: 1 + service.config.limits.retries])
    finally:
        tenant.leave(0, record.prompt)
