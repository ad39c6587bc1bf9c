"""Choice: which models, in which order, may serve what a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.errors import Refused, UnknownName
from weft.orchestrator.dispatch.replica import Replica
from weft.service.engines.served_names import Served
from weft.service.strategies.model import StrategyModel

if TYPE_CHECKING:
    from weft.service.service import Service

Chosen = StrategyModel | Sequence[Served]


async def choose(service: Service, model: str) -> Chosen:
    """What a request's `model` stands for: a strategy, or what engines serve, the first first.

    Raises:
        UnknownName: nothing has this name.
        Refused: no engine has been reached yet.
    """
    found = _named(service, model)
    if found is None and await service.named.look_again():
        found = _named(service, model)
    if found is not None:
        return found
    known = [*service.named, *service.strategies.names()]
    if not known:
        raise Refused(503, "no engine can be reached yet; try again", 5.0)
    behind = service.named.alias(model)
    if behind is not None:
        raise Refused(
            404,
            f"{model!r} stands for {behind!r}, which no engine serves now; correct `aliases`, or "
            "see why the engine is not there",
        )
    raise UnknownName("model", model, {*known, *service.config.aliases})


def _named(service: Service, model: str) -> Chosen | None:
    found = _direct(service, model)
    if found is None and (behind := service.named.alias(model)) is not None:
        found = _direct(service, behind)
    return found


def _direct(service: Service, model: str) -> Chosen | None:
    named, strategies = service.named, service.strategies
    if model not in strategies.offers:
        served, others = named.get(model), named.fallbacks(model)
        if others:
            found = [one for one in map(named.get, others) if one is not None]
            if served is not None or found:
                return found if served is None else [served, *found]
        if served is not None:
            return (served,)
    return strategies.find(model)


def first_able(service: Service, chosen: Sequence[Served]) -> Sequence[Served]:
    """Several in the order in which they are worth trying now.

    What is down is left out, unless all are. What has no free slot comes behind what has one.
    """
    if len(chosen) == 1:
        return chosen
    replicas = service.named.replicas
    alive = [one for one in chosen if replicas(one)] or chosen
    return sorted(alive, key=lambda one: all(map(_full, replicas(one))))


def _full(replica: Replica) -> bool:
    return replica.in_flight >= replica.concurrency or replica.gate.closed
