"""Stream: an answer that is passed on as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from weft.errors import EngineSilent, EngineUnavailable
from weft.orchestrator.dispatch.ticket import Ticket
from weft.service.client.exchange import BREAK, STREAM
from weft.service.engines.reply import Reply
from weft.service.inference.request import ClientRequest
from weft.service.programs.records import CallRecord
from weft.service.protocols.answers.answer_text import StreamEnd
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.protocol import Used


class Stream:
    """A streamed answer on its way from an engine to a client.

    What comes from the engine is written to the client within the same turn of the event loop,
    and no task runs between the first part and the end: agents stream everything, and a part
    is one token.

    Args:
        request: the client's; its record has begun.
        keeps: whether the end of its text is wanted afterwards.
        counts: whether the engine is known to say how many tokens its answers have.

    Attributes:
        answer: id of the answer, if it has one and ended properly.
        begun: told of the answer's id as soon as the engine tells it; None if nobody is.
    """

    def __init__(self, request: ClientRequest, keeps: bool = False, counts: bool = True) -> None:
        assert request.record is not None, "the record has begun"
        self._service, self._exchange = request.service, request.exchange
        self._protocol, self._record = request.protocol, request.record
        self._meter = request.protocol.meter(request.wish)
        self._used = self._meter.used
        self.answer = ""
        self._keeps = keeps
        self._end = StreamEnd() if keeps or not counts else None
        self.begun: Callable[[str], None] | None = None

    async def pass_on(self, first: bytes, reply: Reply, ticket: Ticket) -> bool:
        """Pass an engine's answer on; returns whether it was a proper one.

        Args:
            first: what has come of it.
            reply: the rest.
            ticket: of the call.
        """
        record, exchange, meter = self._record, self._exchange, self._meter
        record.status, clock, sent = 200, self._service.registry.clock, record.sent
        record.first = clock()
        try:
            await self._begin(first, reply)
            if self._end is not None:
                self._end.take(first)
            exchange.follow(reply)
            await reply.pour(self._sink())
            rest = meter.close()
        except EngineUnavailable as error:
            rest = b""
            if not meter.finished:  # else what is lost is only the end of the connection
                silent = isinstance(error, EngineSilent)
                await self._broke(str(error), self._service.words(error), silent)
                assert ticket.replica is not None
                await self._service.scheduler.check(ticket.replica, error)
                return False
        except asyncio.CancelledError:
            if meter.finished and not meter.failure:  # the client knows that no more comes
                record.outcome = "done"
                note(self._used, record, ticket)
            raise
        finally:
            exchange.follow(None)
            exchange.answer = self._used.id
        last = clock()
        if not meter.finished and not meter.failure:
            broke = "the engine broke off in the middle of its answer"
            await self._broke(broke, broke, rest=rest)
            return False
        await exchange.end(rest)
        record.error, used = meter.failure, self._used
        record.outcome = "broken" if meter.failure else "done"
        if self._end is not None and not used.told:
            size = self._end.generated_bytes()
            used.generated = self._service.conversations.tokens_in(size, ticket.call.request.model)
        note(used, record, ticket)
        self.answer = used.id
        if ticket.replica is not None and not meter.failure:
            ticket.replica.learn(
                ticket, used.cached, used.generated, record.first - sent, last - record.first
            )
        return not meter.failure

    async def _begin(self, first: bytes, reply: Reply) -> None:
        """Send the first part, with the head if that is not out yet."""
        exchange, out = self._exchange, self._meter.feed(first)
        self._record.generated = self._used.generated
        self._tell_begun()
        if not exchange.begun:
            self._service.tell(exchange, self._record)
            await exchange.begin(200, reply.kind or STREAM, out)
        elif out:
            await exchange.part(out)

    def _take(self, chunk: bytes) -> None:
        """Pass on what has come. This is all that is done for a token."""
        if out := self._meter.feed(chunk):
            self._record.generated = self._used.generated
            self._exchange.put(out)

    def _sink(self) -> Callable[[bytes], None]:
        """What takes the rest of the answer: no more than is needed."""
        if self.begun is not None:
            return self._take_first
        return self._take if self._end is None else self._take_kept

    def _take_first(self, chunk: bytes) -> None:
        """Pass on what has come, and see whether the answer has told its id."""
        self._take(chunk)
        self._tell_begun()

    def _take_kept(self, chunk: bytes) -> None:
        """Pass on what has come, and keep it for a while."""
        self._take(chunk)
        assert self._end is not None
        self._end.take(chunk)

    @property
    def counts(self) -> bool:
        """Whether the engine said how many tokens the answer has."""
        return self._used.told

    @property
    def text(self) -> str:
        """The end of the answer's text, if it is wanted and asks for no tool."""
        kept = self._end is not None and self._keeps and not self._used.tool
        return self._end.text() if self._end is not None and kept else ""

    def _tell_begun(self) -> None:
        if self.begun is not None and self._used.id:
            self.begun(self._used.id)
            self.begun = None

    async def _broke(self, error: str, words: str, silent: bool = False, rest: bytes = b"") -> None:
        """Tell the client that no more comes, in place of an event that has no end.

        Args:
            error: what the record says.
            words: what the client is told.
            silent: whether the engine fell silent.
            rest: events that are still to be passed on.
        """
        self._record.error, self._record.outcome = error, "timed_out" if silent else "broken"
        told = ErrorWords(504 if silent else 502, words)
        said = self._protocol.error_event(told, self._used.id)
        await self._exchange.end(rest + BREAK + said)


def note(used: Used, record: CallRecord, ticket: Ticket) -> None:
    """Take what an answer says of itself into the record of its call."""
    record.generated, record.tool = used.generated, used.tool
    if used.prompt:
        record.prompt = used.prompt
    record.cached = used.cached or 0
    record.counted = used.told and used.prompt > 0
    ticket.call.tool = used.tool
