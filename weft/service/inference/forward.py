"""Forward: takes a call through the scheduler to an engine, and its answer back, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import anyio
import orjson

from weft.concurrency import TaskGroup
from weft.errors import EngineUnavailable, Refused
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.service.client.client import Header
from weft.service.client.exchange import JSON, KEEP_ALIVE, STREAM, Exchange
from weft.service.engines.reply import Reply
from weft.service.engines.upstream import Upstream
from weft.service.inference.stream import Stream, note
from weft.service.programs.records import CallRecord
from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body, Protocol

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.replica import Replica
    from weft.service.service import Service

_FAILED = (500, 502, 503, 504)
"""What an engine that fails, or is about to, answers; another one may do better."""

_PASSED = ("anthropic-version", "anthropic-beta", "traceparent", "tracestate")
"""Headers of clients that engines get."""


class _Failure(EngineUnavailable):
    """An engine says that it failed.

    With the status 500 that may be because of the request, which would fail everywhere. So it
    is no reason to have an engine rest that says it is well, or one client could stop them all.
    """

    def __init__(self, url: str, status: int, said: str) -> None:
        super().__init__(f"{url} answered {status}{said}")
        self.status, self.said = status, said

    @property
    def refusal(self) -> Refused | None:
        """What the client gets when no engine did better, if that is not for later."""
        if self.status != 500:
            return None
        return Refused(500, f"the engine failed at this request{self.said}")


class Forward:
    """One call on its way.

    Args:
        service: the service.
        exchange: with the client.
        protocol: that it speaks.
        body: what it sent, as parsed.
        raw: what engines get.
        record: of the call.

    Attributes:
        answer: id of the engine's answer, if it has one.
    """

    def __init__(
        self,
        service: Service,
        exchange: Exchange,
        protocol: Protocol,
        body: Body,
        raw: bytes,
        record: CallRecord,
    ) -> None:
        self._service, self._exchange, self._protocol = service, exchange, protocol
        self._body, self._raw, self._record = body, raw, record
        self._streamed = protocol.streamed(body)
        self.answer = ""
        headers = exchange.headers
        self._headers: Sequence[Header] = [
            JSON,
            (b"x-request-id", record.id.encode()),
            *[(k.encode(), headers[k].encode("latin-1")) for k in _PASSED if k in headers],
        ]

    async def scheduled(self, call: Call, turn: Ticket | None) -> None:
        """Run a call; engines that fail before the first byte of an answer are replaced.

        Args:
            call: as the scheduler is to see it.
            turn: an earlier ticket whose place in the queue it takes.

        Raises:
            EngineUnavailable, ContextExceeded, Refused: nothing was sent to the client yet,
                unless its stream was kept open meanwhile.
        """
        service, record, failed = self._service, self._record, turn
        attempts = 1 + service.config.limits.retries
        while True:
            ticket = service.scheduler.submit(call, failed)
            if ticket.replica is None:
                await self._wait(ticket)
            elif failed is None:
                record.wait = ""
            assert ticket.replica is not None
            record.engine, record.where = ticket.replica.name, ticket.reason
            record.sent = service.registry.clock()
            record.attempts += 1
            done = False
            try:
                upstream = service.upstreams[ticket.replica]
                reply = await self._sent(upstream)
                try:
                    done = await self._answered(reply, ticket)
                    return
                finally:
                    reply.close()
            except EngineUnavailable as error:
                failed = ticket
                refusal = error.refusal if isinstance(error, _Failure) else None
                await service.scheduler.lost(ticket, error, count=refusal is None)
                if record.first or record.attempts >= attempts:
                    raise refusal or error from None
            finally:
                service.scheduler.finish(
                    ticket, (), record.generated, record.cached if done else None, done
                )

    async def _wait(self, ticket: Ticket) -> None:
        """Wait for an engine, keeping a stream open meanwhile."""
        service = self._service
        self._record.wait = ticket.reason
        try:
            await self._bound(ticket)
        finally:
            if ticket.replica is None:  # the client may come again
                service.turns.keep(self._record.program.id, self._exchange.raw, ticket)
            else:
                service.load.started()

    async def _bound(self, ticket: Ticket) -> None:
        service, limits = self._service, self._service.config.limits
        with anyio.move_on_after(limits.queue_seconds) as patience:
            if not self._streamed:
                await service.scheduler.bound(ticket)
            else:
                await self._bound_open(ticket)
        if patience.cancelled_caught:
            wait = min(60.0, max(1.0, service.load.seconds()))
            raise Refused(
                503,
                f"no engine had room for this request within {limits.queue_seconds:.0f} s "
                f"({ticket.reason}); try again",
                wait,
            )

    async def _bound_open(self, ticket: Ticket) -> None:
        interval = self._service.config.limits.keepalive_seconds
        async with TaskGroup() as group:
            group.start_soon(self._keep_open, interval)
            await self._service.scheduler.bound(ticket)
            group.cancel_scope.cancel()

    async def _keep_open(self, interval: float) -> None:
        while True:
            await anyio.sleep(interval)
            if not self._exchange.begun:
                await self._exchange.begin(200, STREAM)
            await self._exchange.part(KEEP_ALIVE)

    async def _sent(self, upstream: Upstream) -> Reply:
        """Send the request; an answer that says the engine failed is an error."""
        reply = await upstream.send("POST", self._exchange.path, self._headers, self._raw)
        if reply.status in _FAILED:
            try:
                whole = await reply.whole()
            finally:
                reply.close()
            said = member(_object(whole), "error", "message")
            text = f": {said[:300]}" if isinstance(said, str) else ""
            raise _Failure(upstream.url, reply.status, text)
        return reply

    async def _answered(self, reply: Reply, ticket: Ticket) -> bool:
        """Give the client what the engine answers; returns whether it was a proper answer."""
        if self._streamed and reply.status == 200:
            return await self._stream(reply, ticket)
        answer = await reply.whole()
        record, exchange = self._record, self._exchange
        said = _object(answer)
        if reply.status == 200 and not said:
            raise EngineUnavailable(f"{record.engine} answers with what is no JSON object")
        record.status = reply.status
        record.first = record.first or self._service.registry.clock()
        if reply.status == 200:
            self._note(said, ticket)
        else:
            record.error = f"the engine answered {reply.status}"
        if exchange.begun:  # the stream was kept open, but this is no stream
            words = member(said, "error", "message")
            text = words if isinstance(words, str) and words else record.error
            await exchange.end(self._protocol.error_event(text))
        else:
            self._service.tell(exchange, record)
            await exchange.whole(reply.status, answer, reply.kind or JSON)
        return reply.status == 200

    def _note(self, answer: Body, ticket: Ticket) -> None:
        """Take what a whole answer says of itself into the record."""
        used = self._protocol.used(answer)
        record = self._record
        note(used, record, ticket)
        self.answer = used.id
        if ticket.replica is not None:
            took = self._service.registry.clock() - record.sent
            ticket.replica.observed_whole(ticket, used.cached, used.generated, took)

    async def _stream(self, reply: Reply, ticket: Ticket) -> bool:
        stream = Stream(self._service, self._exchange, self._protocol, self._body, self._record)
        proper = await stream.passed(reply, ticket)
        self.answer = stream.answer
        return proper

    async def direct(self, replicas: Sequence[Replica]) -> None:
        """Pass a request that generates nothing to an engine.

        Args:
            replicas: one or more, in the order in which they are tried.

        Raises:
            EngineUnavailable, Refused: no answer came.
        """
        service, record = self._service, self._record
        record.sent = record.came
        for replica in replicas:
            record.engine, record.attempts = replica.name, record.attempts + 1
            try:
                return await self._passed(service.upstreams[replica])
            except EngineUnavailable as error:
                refusal = error.refusal if isinstance(error, _Failure) else None
                await service.scheduler.health.examine(replica, error, count=refusal is None)
                if replica is replicas[-1]:
                    raise refusal or error from None

    async def _passed(self, upstream: Upstream) -> None:
        record = self._record
        reply = await self._sent(upstream)
        try:
            answer = await reply.whole()
            said = _object(answer)
            if reply.status == 200:
                if not said:
                    raise EngineUnavailable(f"{record.engine} answers with what is no JSON object")
                used = self._protocol.used(said)
                record.prompt, record.cached = used.prompt, used.cached or 0
            record.status, record.first = reply.status, self._service.registry.clock()
            self._service.tell(self._exchange, record)
            await self._exchange.whole(reply.status, answer, reply.kind or JSON)
        finally:
            reply.close()


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
