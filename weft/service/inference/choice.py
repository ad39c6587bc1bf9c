"""Choice: which models, in which order, may serve what a request asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.errors import Refused, UnknownName, UsageError
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


def only_name(service: Service) -> str:
    """The name of the one model that is served, for requests that name none.

    Raises:
        UsageError: there are several.
        Refused: no engine has been reached yet.
    """
    names = list(service.named)
    if len(names) == 1:
        return names[0]
    if not names:
        raise Refused(503, "no engine can be reached yet; try again", 5.0)
    raise UsageError(
        f"model must be named, since {len(names)} are served; name one that GET /v1/models lists"
    )


def _named(service: Service, model: str) -> Chosen | None:
    named = service.named
    found, others = _direct(service, model), named.fallbacks(model)
    if found is None and (behind := named.alias(model)) is not None:
        found, others = _direct(service, behind), others or named.fallbacks(behind)
    if isinstance(found, Served):
        return (found, *others) if others else (found,)
    return found or others or None


def _direct(service: Service, model: str) -> StrategyModel | Served | None:
    if model not in service.strategies.offers and (served := service.named.get(model)) is not None:
        return served
    return service.strategies.find(model)


def first_able(service: Service, chosen: Sequence[Served]) -> Sequence[Served]:
    """Several in the order in which they are worth trying now.

    What is down is left out, unless all are. What has no free slot comes behind what has one.
    """
    if len(chosen) == 1:
        return chosen
    replicas = service.named.replicas
    alive = [one for one in chosen if replicas(one)] or chosen
    return sorted(alive, key=lambda one: not has_free_slot(service, one))


def has_free_slot(service: Service, served: Served) -> bool:
    """Whether an engine of it may take one more request now."""
    return not all(map(_full, service.named.replicas(served)))


def holding(service: Service, chosen: Sequence[Served], engine: str) -> Sequence[Served]:
    """Those that an engine serves."""
    return [
        one
        for one in chosen
        if service.has(one.model, engine) and (not one.only or engine in one.only)
    ]


def _full(replica: Replica) -> bool:
    return replica.in_flight >= replica.concurrency or replica.gate.closed
