"""Requests that strategies answer."""

from __future__ import annotations

import orjson

from weft.errors import Refused, UsageError
from weft.service.client.exchange import STREAM
from weft.service.inference.request import GUESS, ClientRequest
from weft.service.strategies.calls import StrategyCalls
from weft.service.strategies.model import StrategyModel


async def run_strategy(request: ClientRequest, model: StrategyModel) -> None:
    """Have a strategy answer, as a model would.

    Raises:
        UsageError, EngineError, Refused: nothing was sent to the client yet, unless its stream
            had begun.
    """
    service, protocol, exchange = request.service, request.protocol, request.exchange
    tenant, body, identity = request.tenant, request.body, request.identity
    path = protocol.path
    if path not in ("/v1/chat/completions", "/v1/responses"):
        raise UsageError(
            f"{path} does not run strategies; ask {model.name!r} at /v1/chat/completions or "
            "/v1/responses"
        )
    request.check(request.named(identity.id))
    if refused := service.load.check(
        service.config.limits.queue, service.config.limits.queue_seconds, True
    ):
        raise refused
    if refusal := tenant.enter(GUESS):
        raise Refused(429, refusal.message, refusal.seconds)
    used = 0
    try:
        # A run of its own, linked to the program that asks.
        id = request.named(f"{identity.id or 'run'}:{service.registry.new_id()}")
        record = request.begin(id, "strategy", model.name, identity.id or identity.parent)
        record.sent = record.came
        calls = StrategyCalls(service.registry, record)
        asked = (body, path, id, tenant.name, tenant.salt, calls)
        try:
            with calls:
                if request.streamed:
                    async with model.answer(*asked) as events:
                        record.first, record.status = service.registry.clock(), 200
                        service.tell(exchange, record)
                        await exchange.begin(200, STREAM)
                        async for event in events:
                            await exchange.part(event)
                        await exchange.end()
                else:
                    answer = await model.whole(*asked)
                    record.status = 200
                    service.tell(exchange, record)
                    await exchange.whole(200, orjson.dumps(answer))
        finally:  # however it ended, this is what its calls took
            spent = calls.journal.usage
            record.prompt, record.cached = spent.prompt, spent.cached
            record.generated, used = spent.generated, spent.total
            record.counted = True
        record.outcome = "done"
    finally:
        tenant.leave(GUESS, used)
        service.scheduler.end(exchange.program)
