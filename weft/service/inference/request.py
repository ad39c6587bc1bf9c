"""ClientRequest: who asks what, once that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.errors import Refused, WeftError
from weft.service.client.exchange import Exchange
from weft.service.door.tenants import Tenant
from weft.service.engines.served_names import Served
from weft.service.programs.identity import identify
from weft.service.programs.records import CallRecord
from weft.service.protocols.protocol import Body, Protocol

if TYPE_CHECKING:
    from weft.service.service import Service

GUESS = 256
"""Tokens of an answer that has no limit, as far as tenants' limits go."""


class ClientRequest:
    """A client's request that may be served.

    Args:
        service: the service.
        protocol: that the client speaks.
        exchange: with the client.
        tenant: on whose behalf it comes.
        body: what it asks for, as the protocol has it.

    Attributes:
        streamed: whether it wants its answer as it comes.
        wish: the body as the client sent it; `body` may be mended.
        identity: the program that it belongs to, as far as the client says.
        changed: whether the body is not what the client sent, and must be encoded anew.
        fallbacks: what there is to fall back to.
        record: of the call, once there is one.
        opaque: whether what the client gets is no text, so that no error can stand in it.
    """

    opaque = False

    def __init__(
        self, service: Service, protocol: Protocol, exchange: Exchange, tenant: Tenant, body: Body
    ) -> None:
        self.service, self.protocol, self.exchange = service, protocol, exchange
        self.tenant, self.body = tenant, body
        self.streamed = protocol.streamed(body)
        self.wish = dict(body) if self.streamed else body
        self.changed = False
        self.fallbacks: Sequence[Served] = ()
        self.identity = identify(exchange.headers, body, exchange.host)
        self.record: CallRecord | None = None

    def named(self, program: str) -> str:
        """The id of a program that clients call so; empty if they do not."""
        return f"{self.tenant.name}/{program}" if program and self.tenant.name else program

    def check(self, program: str) -> None:
        """See that a program was not released just now.

        Raises:
            Refused: it was. Clients send again what was under way, and must not begin it anew.
        """
        if program in self.service.released:
            raise Refused(
                409,
                f"the program {program!r} was released; name another one in X-Weft-Program, or "
                "wait ten minutes",
            )

    def serve_by(self, served: Served) -> None:
        """Have the body name what serves the request, which may not be what the client named."""
        if self.body.get("model") != served.name:
            self.body["model"], self.changed = served.name, True

    def falls_back(self, error: WeftError) -> bool:
        """Whether another model may take over after an error; what was begun here has ended."""
        if isinstance(error, Refused) and error.status != 503:
            return False
        record = self.record
        if record is None:
            return True
        if record.first:
            return False
        # It is one call, whoever serves it in the end.
        record.sent, record.engine, record.placement_reason, record.outcome = 0.0, "", "", ""
        return True

    def begin(self, id: str, source: str, model: str, parent: str) -> CallRecord:
        """Begin the record of a call in its program's.

        Args:
            id: of the program.
            source: how it was recognised.
            model: that is asked for.
            parent: what clients call the program that it works for; empty if none.

        Raises:
            Refused: the tenant has too many programs.
        """
        service, tenant = self.service, self.tenant
        name = self.identity.name
        program = service.registry.begin(id, tenant.name, name, source, self.named(parent))
        service.begin(program, tenant)
        record = self.record
        if record is not None and record.program is program:
            record.model = model
            return record
        if record is not None:
            record.outcome, record.status = "refused", 503
            service.registry.call_ended(record)
        record = self.record = service.registry.call(program, self.protocol.path, model)
        record.trace = self.exchange.headers.get("traceparent", "")
        self.exchange.program = id
        return record
