"""Forward: takes a call through the scheduler to an engine, and its answer back, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, cast

import anyio

from weft.backends.http.refusals import used_up
from weft.backends.http.wire import KEEP
from weft.errors import Refused, RequestFailed
from weft.orchestrator.attempts.attempts import Attempts, Ending
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.service.client.client import Header
from weft.service.client.exchange import JSON
from weft.service.client.json_pieces import NoJson, TooDeep, read_pieces, take_apart
from weft.service.engines.reply import Reply
from weft.service.engines.upstream import Upstream
from weft.service.inference.aside import LARGE, aside
from weft.service.inference.background import BackgroundResponse, is_running
from weft.service.inference.choice import has_free_slot
from weft.service.inference.refusing import turn_down_as, turn_down_within
from weft.service.inference.request import ClientRequest
from weft.service.inference.sending import send, with_keep, with_priority
from weft.service.inference.stream import Stream, note
from weft.service.inference.translated import TranslatedReply
from weft.service.protocols.answers.answer_text import generated_bytes, text_of
from weft.service.protocols.errors.told_errors import error_at_start, told_error
from weft.service.protocols.events import begins, first_said, object_in
from weft.service.protocols.protocol import Body, Used

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.replica import Replica


class Forward:
    """A client's request on its way to engines; what `Attempts` sends.

    Args:
        request: the client's; its record has begun.
        raw: the body that engines get.
        keeps: whether the end of the answer's text is wanted afterwards.

    Attributes:
        text: the end of the answer's text, if it is wanted and asks for no tool.
        answer: id of the engine's answer, if it has one.
        kept: whether the engine may know the answer by its id.
    """

    def __init__(self, request: ClientRequest, raw: bytes, keeps: bool = False) -> None:
        record = request.record
        assert record is not None, "the record has begun"
        self._request, self._record, self._raw = request, record, raw
        self._service, self._exchange = request.service, request.exchange
        self._protocol = request.protocol
        self._done = False
        self._context: int | None = None  # of the engine that the request was sent to
        self._until: float | None = None
        self.answer, self.text, self.kept, self._keeps = "", "", True, keeps
        headers = request.exchange.headers
        self._headers: Sequence[Header] = [
            JSON,
            (b"x-request-id", record.id.encode()),
            *[
                (k.encode(), headers[k].encode("latin-1"))
                for k in request.service.forwarded
                if k in headers
            ],
        ]

    def schedule(self, call: Call, earlier: Ticket | None) -> Awaitable[Ticket]:
        """Run a call; engines that fail before the first byte of an answer are replaced.

        Args:
            call: as the scheduler is to see it.
            earlier: a ticket whose place in the queue it takes.

        Raises:
            EngineError, Refused: nothing was sent to the client yet, unless its stream was kept
                open meanwhile.
        """
        service = self._service
        retries = service.config.limits.retries
        return Attempts(service.scheduler, call, self, earlier, retries).run()

    @property
    def begun(self) -> bool:
        """Whether the client has the beginning of an answer."""
        return self._record.first > 0

    def ending(self) -> Ending:
        """How the last attempt ended."""
        record, done = self._record, self._done
        return (), record.generated, record.cached if done else None, done

    async def send(self, ticket: Ticket) -> None:
        """Send the request to the ticket's engine, and the client what comes of it."""
        service, record = self._service, self._record
        assert ticket.replica is not None
        record.engine, record.placement_reason = ticket.replica.name, ticket.reason
        record.wait_cause = ticket.wait_cause
        self._context = ticket.replica.engine.context
        record.sent = service.registry.clock()
        record.attempts += 1
        self._done = False
        raw, engine = self._raw, ticket.replica.engine
        if engine.priority:
            raw = with_priority(self._request, raw, ticket.program.priority)
        keep = ticket.replica.keep(ticket, lost=False)
        if keep is not None or KEEP in self._request.body:
            raw = await with_keep(self._request, raw, keep)
        reply = await send(self._request, service.upstreams[ticket.replica], self._headers, raw)
        try:
            if isinstance(reply, TranslatedReply):
                self.kept = False
            service.scheduler.note_begun(ticket)
            if reply.status == 200 and (rest := used_up(reply.headers)):
                service.scheduler.note_used_up(ticket, rest)
            self._done = await self._answer(reply, ticket)
        finally:
            reply.close()

    async def wait(self, ticket: Ticket, seconds: float) -> None:
        """Wait for an engine, or for a busy one's time."""
        service, record = self._service, self._record
        record.wait_reason = f"{ticket.engine} is busy" if seconds else ticket.reason
        if any(has_free_slot(service, one) for one in self._request.fallbacks):
            raise Refused(503, f"no room for this request now: {record.wait_reason}", 1.0)
        started = False
        try:
            if seconds:
                await self._patiently(lambda: anyio.sleep(seconds), lambda: record.wait_reason)
            else:
                await self._patiently(lambda: service.scheduler.bind(ticket), lambda: ticket.reason)
            started = True
        finally:
            if not started:  # the client may come again
                service.places.keep(record.program.id, self._exchange.raw, ticket)
            elif not seconds:
                service.load.note_start()

    async def _patiently(
        self, waited: Callable[[], Awaitable[None]], reason: Callable[[], str]
    ) -> None:
        """Wait for something, in all as long as a request may wait; say why if that is too long."""
        service, limits = self._service, self._service.config.limits
        if self._until is None:
            self._until = anyio.current_time() + limits.queue_seconds
        with anyio.move_on_at(self._until) as patience:
            await waited()
        if patience.cancelled_caught:
            self._record.outcome = "timed_out"
            wait = min(60.0, max(1.0, service.load.seconds()))
            raise Refused(
                503,
                f"no engine had room for this request within {limits.queue_seconds:.0f} s "
                f"({reason()}); try again in {math.ceil(wait)} s",
                wait,
            )

    async def _answer(self, reply: Reply, ticket: Ticket) -> bool:
        """Give the client what the engine answers; returns whether it was a proper answer."""
        if reply.status == 200 and self._request.streamed:
            first = await reply.read()
            if not begins(first):
                first = await self._first(reply, first)
            if b'"error"' in first and (words := error_at_start(first)):
                await turn_down_within(self._request, words, reply, ticket)
                return False
            assert ticket.replica is not None
            upstream = self._service.upstreams[ticket.replica]
            stream = Stream(self._request, self._keeps, upstream.counts)
            if self._request.body.get("background") is True and self.kept:
                proper = await self._background(ticket).pass_on(stream, first, reply)
                self.answer = self.answer or stream.answer
                return proper
            proper = await stream.pass_on(first, reply, ticket)
            self.answer, self.text = stream.answer, stream.text
            if proper:
                upstream.counts = stream.counts
            return proper
        answer = await reply.whole()
        record = self._record
        record.first = record.first or self._service.registry.clock()
        if reply.status != 200:
            await turn_down_as(self._request, reply, answer, self._context)
            return False
        large = len(answer) > LARGE
        model = ticket.call.request.model
        if large:
            said, used = await aside(self._read_large, answer, model)
        else:
            said, used = self._read(answer, model)
        if "error" in said and (words := told_error(said)):
            await turn_down_within(self._request, words, reply, ticket)
            return False
        self._note(used, ticket)
        if self._keeps and not large and not used.tool:
            self.text = text_of(said)
        await self._whole(reply, answer)
        if is_running(said) and self.kept:
            await self._background(ticket).follow(str(said["id"]))
        return True

    def _background(self, ticket: Ticket) -> BackgroundResponse:
        """What the engine goes on with though its answer has come."""

        def note(used: Used) -> None:
            self._note(used, ticket)

        return BackgroundResponse(self._request, ticket, self._headers, note)

    async def _first(self, reply: Reply, come: bytes) -> bytes:
        """The beginning of a stream, up to the first event that says something.

        Args:
            reply: the rest.
            come: what has come of it.

        Raises:
            RequestFailed: there is none.
        """
        while not begins(come):
            more = await reply.read()
            if more:
                come += more
            elif first_said(come):
                break
            else:
                raise RequestFailed(f"{self._record.engine} answers with nothing")
        return come

    async def _whole(self, reply: Reply, answer: bytes) -> None:
        """Give the client a whole answer."""
        record, exchange = self._record, self._exchange
        record.status, record.outcome = 200, "done"
        self._service.tell(exchange, record)
        await exchange.whole(200, answer, reply.kind or JSON)

    def _read(self, answer: bytes, model: str = "") -> tuple[Body, Used]:
        """An answer as an object, and what it says of itself.

        Args:
            answer: its bytes.
            model: that generated it; empty if none did.

        Raises:
            RequestFailed: it is no object.
        """
        said = object_in(answer)
        if not said:
            raise self._no_object()
        return said, self._used(said, model)

    def _used(self, said: Body, model: str) -> Used:
        """What an answer says of itself; its tokens are guessed by its text if it does not say."""
        used = self._protocol.used(said)
        if model and not used.told:
            size = generated_bytes(said)
            used.generated = self._service.conversations.tokens_in(size, model)
        return used

    def _read_large(self, answer: bytes, model: str = "") -> tuple[Body, Used]:
        """The same for one that is large, for a thread of its own: its lists are emptied again."""
        try:
            said = read_pieces(answer, bounded=False)
        except (NoJson, TooDeep):
            raise self._no_object() from None
        if not isinstance(said, dict):
            take_apart(said)
            raise self._no_object()
        found = cast(Body, said)
        used = self._used(found, model)
        for value in found.values():
            if isinstance(value, list):
                take_apart(value)
        return found, used

    def _no_object(self) -> RequestFailed:
        return RequestFailed(f"{self._record.engine} answers with what is no JSON object")

    def _note(self, used: Used, ticket: Ticket) -> None:
        """Take what a whole answer says of itself into the record."""
        record = self._record
        note(used, record, ticket)
        self.answer = used.id
        if ticket.replica is not None:
            took = self._service.registry.clock() - record.sent
            ticket.replica.learn_whole(ticket, used.cached, used.generated, took)

    async def direct(self, replicas: Sequence[Replica]) -> None:
        """Pass a request that generates nothing to an engine.

        Args:
            replicas: one or more, in the order in which they are tried.

        Raises:
            EngineError, Refused: no answer came.
        """
        service, record = self._service, self._record
        record.sent = record.came

        async def send(replica: Replica) -> None:
            record.engine, record.attempts = replica.name, record.attempts + 1
            self._context = replica.engine.context
            await self._pass(service.upstreams[replica])

        await service.scheduler.send_unscheduled(replicas, send)

    async def _pass(self, upstream: Upstream) -> None:
        record = self._record
        reply = await send(self._request, upstream, self._headers, self._raw)
        try:
            answer = await reply.whole()
            record.first = self._service.registry.clock()
            if reply.status != 200:
                await turn_down_as(self._request, reply, answer, self._context)
                return
            large = len(answer) > LARGE
            _, used = await aside(self._read_large, answer) if large else self._read(answer)
            record.prompt, record.cached = used.prompt, used.cached or 0
            await self._whole(reply, answer)
        finally:
            reply.close()
