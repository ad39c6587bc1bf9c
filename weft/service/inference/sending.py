"""Sending: a client's request to one engine, in chat completions where the engine has no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from weft.backends.http.wire import KEEP
from weft.errors import RequestFailed, UsageError
from weft.leases.directive import FIELD
from weft.service.client.client import Header
from weft.service.client.exchange import STREAM
from weft.service.engines.reply import Reply
from weft.service.engines.upstream import Upstream
from weft.service.inference.aside import aside_if_large, written
from weft.service.inference.refusing import raise_failure
from weft.service.inference.request import ClientRequest
from weft.service.inference.translated import TranslatedReply, lacks_endpoint
from weft.service.protocols.answers.told_whole import as_events
from weft.service.protocols.events import object_in
from weft.service.protocols.translation import CHAT, Translation, always, no_count, where_lacking

_ODD = (TypeError, AttributeError, LookupError, ValueError)
"""What is raised by reading a body of another form than the protocol's."""


_PLACE = 200
"""Characters of an address that are shown."""

_FRAME = (b"content-type", b"content-length")

_BY_PRIORITY = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})
"""Where vLLM takes a priority."""
_KEEPS = _BY_PRIORITY | {"/v1/messages"}
"""Where vLLM takes words for its KV connector."""


def _reworded(upstream: Upstream, raw: bytes) -> bytes:
    """A body in the words that an engine takes."""
    return written(upstream.wording.of(orjson.loads(raw)), raw)


def spliced(raw: bytes, fields: bytes) -> bytes:
    """A body with more fields, in front of its own."""
    start = raw.index(b"{") + 1
    return b"%b%b,%b" % (raw[:start], fields, raw[start:])


def with_priority(request: ClientRequest, raw: bytes, priority: int) -> bytes:
    """The body for an engine that schedules by priority; a client's own priority stays."""
    if request.exchange.path not in _BY_PRIORITY or request.body.get("priority") is not None:
        return raw
    return spliced(raw, b'"priority":%d' % priority)


async def with_keep(request: ClientRequest, raw: bytes, keep: Mapping[str, Any] | None) -> bytes:
    """The body with what an engine with leases is told, if it is told anything.

    A client's own words for other connectors stay; those about leases don't, since they could end
    leases of others.
    """
    if request.exchange.path not in _KEEPS:
        return raw
    if KEEP in request.body:
        if keep is None and FIELD not in _words(request.body[KEEP]):
            return raw
        return await aside_if_large(len(raw), _rekept, raw, keep or {})
    return raw if keep is None else spliced(raw, b'"%b":%b' % (KEEP.encode(), orjson.dumps(keep)))


def _rekept(raw: bytes, keep: Mapping[str, Any]) -> bytes:
    body = orjson.loads(raw)
    own = _words(body.pop(KEEP))
    if said := {k: v for k, v in own.items() if k != FIELD} | dict(keep):
        body[KEEP] = said
    return written(body, raw)


def _words(own: object) -> dict[str, Any]:
    """What a client says to connectors; nothing if that has not the form."""
    return cast(dict[str, Any], own) if isinstance(own, dict) else {}


async def send(
    request: ClientRequest, upstream: Upstream, headers: Sequence[Header], raw: bytes
) -> Reply:
    """Send a request; an answer that says the engine failed, or is busy, is an error.

    Args:
        request: the client's.
        upstream: the engine's.
        headers: that the engine gets.
        raw: the body that the engine gets, unless the request is translated.

    Raises:
        EngineError: the engine failed, or is busy.
        UsageError: the request must be translated, and can't be.
        Refused: tokens are to be counted, and the engine has no tokenizer.
    """
    path, body = request.exchange.path, request.body
    translation = always(path, body)
    if translation is None and path in upstream.lacks:
        translation = where_lacking(path)
    if translation is not None:
        reply = await _translate(request, translation, upstream, headers)
    else:
        if upstream.wording and path == CHAT:
            raw = await aside_if_large(len(raw), _reworded, upstream, raw)
        reply = await upstream.send("POST", path, headers, raw)
        if reply.status != 200 or request.streamed:
            await _made_usual(reply, upstream, request.streamed)
        translation = where_lacking(path) if reply.status >= 400 else None
        if translation is not None and await _lacks(request, reply, upstream):
            reply = await _translate(request, translation, upstream, headers)
    if reply.status >= 400:
        await raise_failure(reply, upstream.url, bool(request.fallbacks))
    return reply


async def _made_usual(reply: Reply, upstream: Upstream, streamed: bool) -> None:
    """Make an answer that is told in an unusual way one of the usual.

    Raises:
        EngineError: the engine is elsewhere, or answers in another form.
    """
    if reply.status != 200 and reply.status < 400:
        if reply.status >= 300:
            place = next((v for k, v in reply.headers if k == b"location"), b"")
            reply.close()
            said = f"sends on to {place.decode('latin-1')[:_PLACE]!r}" if place else "sends on"
            raise RequestFailed(
                f"the engine at {upstream.url} {said} ({reply.status}); give the address where "
                "it answers itself"
            )
        reply.status = 200
    kind = reply.kind if streamed and reply.status == 200 else None
    if kind is not None and b"json" in kind[1]:
        await _as_stream(reply, upstream)


async def _as_stream(reply: Reply, upstream: Upstream) -> None:
    """Let an answer that is one JSON object be read as a stream.

    Raises:
        RequestFailed: it is of a form of no protocol.
    """
    try:
        come = await reply.read()
        if come.lstrip().startswith(b"{"):
            said = object_in(come + await reply.whole())
            come = as_events(said)
            if not come:
                raise RequestFailed(
                    f"the engine at {upstream.url} answers whole where a stream was asked"
                )
            upstream.counts = bool(said.get("usage"))
            reply.headers = [STREAM, *[h for h in reply.headers if h[0] not in _FRAME]]
    except BaseException:
        reply.close()
        raise
    reply.again(come)


async def _lacks(request: ClientRequest, reply: Reply, upstream: Upstream) -> bool:
    """Whether an error says that the engine lacks the endpoint, which is remembered then."""
    try:
        said = await reply.whole()
    except BaseException:
        reply.close()
        raise
    if not lacks_endpoint(reply.status, said, request.body):
        reply.again(said)
        return False
    reply.close()
    upstream.lacks.add(request.exchange.path)
    return True


async def _translate(
    request: ClientRequest, translation: Translation, upstream: Upstream, headers: Sequence[Header]
) -> Reply:
    """Send the request as one of chat completions."""
    body = request.body
    came = request.exchange.raw
    try:
        chat = await aside_if_large(len(came), translation.asked, body)
        answer = translation.answer(body)
    except UsageError:
        raise
    except _ODD as error:
        raise UsageError(
            "the engine speaks only chat completions, and a field of the body has no form that "
            f"could be told in those ({error}); correct it"
        ) from None
    chat.pop(KEEP, None)
    if request.tenant.salt and translation.target == CHAT:
        chat.setdefault("cache_salt", request.tenant.salt)
    if translation.target == CHAT:
        chat = upstream.wording.of(chat)
    raw = await aside_if_large(len(came), written, chat, came)
    reply = await upstream.send("POST", translation.target, headers, raw)
    await _made_usual(reply, upstream, chat.get("stream") is True)
    if (
        translation.target != CHAT
        and reply.status >= 400
        and await _lacks(request, reply, upstream)
    ):
        raise no_count()
    return TranslatedReply(reply, answer, request.streamed)
