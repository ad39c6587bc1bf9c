"""Responses that engines make in the background: asked for until they are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import quote

import anyio

from weft.errors import EngineError
from weft.orchestrator.dispatch.ticket import Ticket
from weft.service.client.client import Header
from weft.service.engines.reply import Reply
from weft.service.engines.upstream import Upstream
from weft.service.inference.request import ClientRequest
from weft.service.inference.stream import Stream
from weft.service.protocols.events import member, object_in
from weft.service.protocols.protocol import Body, Used

_FIRST, _LONGEST = 0.1, 2.0
"""Seconds between two questions, at first and at most."""
_STOPPING = 4.0
"""Seconds that an engine has to take note that a response is not wanted any more."""
_LOST = 5
"""Questions without an answer after which nothing more is expected."""


def is_running(response: Body) -> bool:
    """Whether a response is made in the background, and not made yet."""
    return (
        response.get("object") == "response"
        and response.get("status") in ("queued", "in_progress")
        and isinstance(response.get("id"), str)
    )


async def until_done(upstream: Upstream, place: str, headers: Sequence[Header]) -> Body:
    """Wait until a response is made.

    Args:
        upstream: to the engine that makes it.
        place: the response's path.
        headers: to ask with.

    Returns:
        the response; empty if the engine does not know it any more.
    """
    wait, lost = _FIRST, 0
    while True:
        await asyncio.sleep(wait)
        wait = min(_LONGEST, 1.5 * wait)
        try:
            reply = await upstream.send("GET", place, headers)
            try:
                status, raw = reply.status, await reply.whole()
            finally:
                reply.close()
        except EngineError:
            status, raw = 503, b""
        if status >= 500:
            lost += 1
            if lost < _LOST:
                continue
            return {}
        response = object_in(raw) if status == 200 else {}
        if not is_running(response):
            return response
        lost = 0


async def stop(upstream: Upstream, place: str, headers: Sequence[Header]) -> None:
    """Have an engine stop making a response, if it still does."""
    try:
        reply = await upstream.send("POST", f"{place}/cancel", headers)
        reply.close()
    except EngineError:
        pass


class BackgroundResponse:
    """A response that an engine makes in the background; its call keeps its room meanwhile.

    Args:
        request: the client's; its record has begun.
        ticket: of the call.
        headers: to ask the engine with.
        note: takes what the response says of itself when it is made.
    """

    def __init__(
        self,
        request: ClientRequest,
        ticket: Ticket,
        headers: Sequence[Header],
        note: Callable[[Used], None],
    ) -> None:
        assert request.record is not None
        assert ticket.replica is not None
        self._request, self._record, self._ticket = request, request.record, ticket
        self._service, self._exchange = request.service, request.exchange
        self._upstream = request.service.upstreams[ticket.replica]
        self._headers, self._note = headers, note
        self._place = ""
        """The path of the response, as soon as its id is known."""

    async def pass_on(self, stream: Stream, first: bytes, reply: Reply) -> bool:
        """Pass a streamed response on: to its end, though its client leaves.

        Returns:
            whether the client got a proper answer.
        """
        self._exchange.goes_on, stream.begun = True, self._know
        try:
            proper = await stream.pass_on(first, reply, self._ticket)
        except asyncio.CancelledError:
            if self._place:
                await self._stop()
            raise
        # The stream broke, perhaps not what it tells of.
        if not proper and self._place and self._record.first:
            await self._until_made()
        return proper

    async def follow(self, id: str) -> None:
        """Keep the room of a response that the client was told of, until it is made."""
        self._know(id)
        self._exchange.alone = True
        await self._until_made()

    def _know(self, id: str) -> None:
        """The engine tells the response's id."""
        self._place = f"{self._exchange.path}/{quote(id, safe='')}"
        self._service.note_holder(self._request.tenant.name, id, self._record.engine)

    async def _until_made(self) -> None:
        record = self._record
        try:
            said = await until_done(self._upstream, self._place, self._headers)
        except asyncio.CancelledError:
            await self._stop()
            raise
        if said:
            self._note(self._request.protocol.used(said))
            if said.get("status") == "failed":
                record.error = str(member(said, "error", "message") or "the response failed")
                record.outcome = "broken"
            elif said.get("status") == "cancelled":
                record.error, record.outcome = "", "cancelled"

    async def _stop(self) -> None:
        """Have the engine stop, unless a service that ends will know the response again."""
        cut, known = self._exchange.cut, self._service.memory is not None
        if cut is not None and not (known and self._service.draining and cut.status == 503):
            with anyio.move_on_after(_STOPPING, shield=True):
                await stop(self._upstream, self._place, self._headers)
