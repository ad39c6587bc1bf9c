"""Refusing: what an engine's refusal amounts to, and what the client is told of it."""

from __future__ import annotations

from collections.abc import Iterable

from weft.backends.http.refusals import refusal, server_message
from weft.errors import ContextExceeded, EngineBusy, EngineUnavailable, RequestFailed
from weft.orchestrator.dispatch.ticket import Ticket
from weft.service.client.client import Header
from weft.service.client.exchange import JSON
from weft.service.engines.reply import Reply
from weft.service.inference.request import ClientRequest
from weft.service.inference.translated import TranslatedReply
from weft.service.protocols.errors.error_words import ErrorWords, engine_words, openai_body
from weft.service.protocols.errors.overflow import Overflow
from weft.service.protocols.events import object_in

_TOLD = (b"retry-after", b"x-should-retry")
"""Headers of engines that clients get with what they are refused."""

_QUOTED = 500
"""Characters of an engine's refusal that a record keeps."""


async def turn_down_as(
    request: ClientRequest, reply: Reply, answer: bytes, context: int | None
) -> None:
    """Turn a request down as an engine's answer does, byte for byte where clients read it.

    Args:
        request: the client's; its record has begun.
        reply: of the engine.
        answer: the body of the reply.
        context: of the engine, in tokens.
    """
    said = object_in(answer)
    kind = reply.kind or JSON
    own = said and request.protocol.is_error(said) and not isinstance(reply, TranslatedReply)
    words = engine_words(reply.status, said or {"detail": server_message(answer)})
    await _turn_down(request, words, reply, context, (answer, kind) if own else None)


async def turn_down_within(
    request: ClientRequest, words: ErrorWords, reply: Reply, ticket: Ticket
) -> None:
    """Take an error that stands in place of an answer as if its status had said so.

    Raises:
        EngineError: the engine failed, or is busy.
    """
    record, service, replica = request.record, request.service, ticket.replica
    assert record is not None
    assert replica is not None
    url, body = service.upstreams[replica].url, openai_body(words)
    raise_refusal(url, words.status, body, reply.headers, bool(request.fallbacks))
    record.first = record.first or service.registry.clock()
    await _turn_down(request, words, reply, replica.engine.context, None)


async def _turn_down(
    request: ClientRequest,
    words: ErrorWords,
    reply: Reply,
    context: int | None,
    own: tuple[bytes, Header] | None,
) -> None:
    """Give the client what an engine says in place of an answer, in words it understands.

    Args:
        request: the client's.
        words: what the engine says.
        reply: of the engine.
        context: of the engine.
        own: body and kind of an answer that the client can read as it is.
    """
    record, exchange, protocol = request.record, request.exchange, request.protocol
    assert record is not None
    record.status, record.outcome = words.status, "refused"
    record.error = f"the engine answered {words.status}: {words.message[:_QUOTED]}"
    over = Overflow.read(words)
    if over is not None:
        limit = protocol.limit(request.body)
        over, own = over.with_known(context, record.prompt, limit), None
        words = protocol.overflow(words, over, record.prompt)
    if exchange.begun:  # the stream was kept open, but this is no stream
        await exchange.end(protocol.error_event(words))
        return
    request.service.tell(exchange, record)
    for name, value in reply.headers:
        if name in _TOLD:
            exchange.add(name, value.decode("latin-1"))
    answer, kind = own or (protocol.error(words), JSON)
    await exchange.whole(words.status, answer, kind)


async def raise_failure(reply: Reply, url: str, too_long: bool = False) -> None:
    """Look into an answer that tells of an error; what the request did wrong may be read again.

    Args:
        reply: the answer.
        url: of the engine.
        too_long: whether that a prompt is too long is no answer either.

    Raises:
        EngineError: the engine failed, or is busy.
    """
    try:
        body = await reply.whole()
        raise_refusal(url, reply.status, body, reply.headers, too_long)
    except BaseException:
        reply.close()
        raise
    reply.again(body)


def raise_refusal(
    url: str, status: int, body: bytes, headers: Iterable[Header], too_long: bool
) -> None:
    """Raise what an error amounts to, unless the request did something wrong.

    Args:
        url: of the engine.
        status: of its answer.
        body: of its answer.
        headers: of its answer.
        too_long: whether that a prompt is too long is raised as well.

    Raises:
        EngineError: the engine failed, or is busy.
    """
    told = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    error = refusal(url, status, body, told)
    if isinstance(error, EngineBusy | EngineUnavailable | RequestFailed):
        raise error
    if too_long and isinstance(error, ContextExceeded):
        raise error
