"""Strategies as models: `M:majority(n=8)` runs a strategy on model M and answers as one model.

What is read out of texts, and how a verifier is asked, is in `strategy_question`; what of a
request is honoured, in `StrategyModel`.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from weft.errors import UnknownName, UsageError
from weft.orchestrator.pool import ROLES, Pool
from weft.parts.importing import names_only
from weft.parts.spec import read_spec
from weft.programs import Limits
from weft.programs.budgets.fields import Budget
from weft.search import Strategy, parse_strategy
from weft.search.needs import verifiers
from weft.search.readers import READERS, parse_reader
from weft.search.strategy import STRATEGIES
from weft.search.verifiers import VERIFIERS
from weft.service.config.settings import ServiceConfig
from weft.service.strategies.model import StrategyModel
from weft.service.strategies.question import FINAL
from weft.types import Adapter

_log = logging.getLogger(__name__)

LONGEST = 400
"""Letters of a model's name; a longer one is not read as a spec."""

NO_LIMITS = Limits()

_BEGINS = re.compile(r"([A-Za-z_]\w*)\s*(?:\(|$)")


def split_model(name: str) -> tuple[str, str] | None:
    """The model and the strategy that a name is made of; None if it names no strategy.

    Both may hold colons: the strategy is what follows the last one that stands before the
    name of a strategy.
    """
    at = name.rfind(":")
    while at > 0:
        found = _BEGINS.match(name, at + 1)
        if found is not None and found[1] in STRATEGIES.names():
            return name[:at], name[at + 1 :]
        at = name.rfind(":", 0, at)
    return None


@dataclass(frozen=True, slots=True)
class Offer:
    """A strategy that is listed among the models.

    Attributes:
        name: what clients call it.
        strategy: its spec.
        model: what it runs on; the solver's model if None.
        limits: what one request may spend; None leaves it to `StrategyModels`.
        reader: the spec of the reader of its samples' answers.
    """

    name: str
    strategy: str
    model: str | None = None
    limits: Limits | None = None
    reader: str = FINAL


@dataclass(frozen=True, slots=True)
class Base:
    """What a strategy runs on.

    Attributes:
        model: the scheduler's name of it.
        adapter: of the model, if that is asked.
    """

    model: str
    adapter: Adapter | None = None


class StrategyModels:
    """The strategies that clients can use as models, on the engines of a pool.

    Args:
        pool: open while there are requests.
        offers: those that are listed.
        any: whether `MODEL:STRATEGY` may also be asked for where it is not listed.
        limits: what one request may spend.
        roles: the pool's roles; those that are not named are played by the strategy's model.
        keep_alive: seconds of silence after which a stream gets a comment.
        base: what a name stands for that is no model's own, such as an adapter's or an alias;
            None if nothing has this name.

    Raises:
        UnknownName, UsageError: the spec of an offer is wrong.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        offers: Iterable[Offer] = (),
        any: bool = True,
        limits: Limits = NO_LIMITS,
        roles: Mapping[str, str] | None = None,
        keep_alive: float = 10.0,
        base: Callable[[str], Base | None] = lambda _: None,
    ) -> None:
        self._base = base
        self.pool, self.any, self.keep_alive = pool, any, keep_alive
        self.offers = {offer.name: offer for offer in offers}
        self.limits, self._roles = limits, dict(roles or {})
        for offer in self.offers.values():
            parse_strategy(offer.strategy)
            parse_reader(offer.reader)

    def names(self) -> list[str]:
        """What `/v1/models` lists."""
        return list(self.offers)

    def base(self, name: str) -> str | None:
        """The model that a listed strategy runs on; None if that is not known now."""
        offer = self.offers[name]
        if offer.model is None and not self.pool.engines:
            return None
        return offer.model or self.pool.model("solver")

    def known(self, name: str) -> bool:
        """Whether a name is that of a strategy that works."""
        try:
            return self.find(name) is not None
        except UsageError:
            return False

    def problems(self) -> list[str]:
        """What keeps listed strategies and roles from working, as long as no engine is added."""
        served = self._served()
        found = [
            f"roles.{role} is {model!r}, which no engine serves; name one of "
            f"{', '.join(sorted(served))}"
            for role, model in self._roles.items()
            if model not in served
        ]
        for offer in self.offers.values():
            try:
                self.find(offer.name)
            except UsageError as error:
                found.append(f"strategies.models: {offer.name} can't run: {error}")
        return found

    def find(self, model: str) -> StrategyModel | None:
        """The strategy that a request's `model` names; None if it is not the name of one.

        Raises:
            UnknownName: a strategy on a model that no engine serves (`kind` is `model`), or a
                strategy or parameter that there isn't.
            UsageError: the spec is malformed, or asks for more than a request may spend.
        """
        if (offer := self.offers.get(model)) is not None:
            base = offer.model or self.pool.model("solver")
            strategy = parse_strategy(offer.strategy)
            limits = offer.limits or self.limits
            return self._make(model, base, strategy, offer.strategy, limits, offer.reader)
        if ":" not in model or not self.any:
            return None
        served = self._served()
        if model in served:
            return None
        split = split_model(model) or _split_at(model, served)
        if split is None:
            return None
        if len(model) > LONGEST:
            raise UsageError(f"model must be at most {LONGEST} letters long")
        base, spec = split
        self._found(base)
        with names_only():  # a client must not have code imported
            strategy = parse_strategy(spec)
        return self._make(model, base, strategy, spec, self.limits)

    def _make(
        self,
        name: str,
        base: str,
        strategy: Strategy,
        spec: str,
        limits: Limits,
        reader: str = FINAL,
    ) -> StrategyModel:
        served, found = self._served(), self._found(base)
        most = math.inf if limits.calls is None else limits.calls
        for parameter in strategy.parameters():
            value = getattr(strategy, parameter.name)
            if isinstance(value, int) and value > most and value != parameter.default:
                raise UsageError(
                    f"{parameter.name}={value} of {strategy.name} is more than the {most} calls "
                    "that a request may make; ask for less"
                )
        roles = {role: self._roles.get(role, found.model) for role in (*ROLES, *self._roles)}
        roles["solver"] = found.model
        own = [role for role in roles if role == "solver" or role not in self._roles]
        adapters = {role: found.adapter for role in own} if found.adapter is not None else {}
        _check_verifiers(strategy, roles, served)
        fixed = "temperature" in read_spec(spec).values
        return StrategyModel(
            self.pool,
            name,
            strategy,
            roles,
            limits,
            reader=parse_reader(reader),
            fixed=fixed,
            keep_alive=self.keep_alive,
            adapters=adapters,
        )

    def _found(self, name: str) -> Base:
        """What a strategy on this name runs on.

        Raises:
            UnknownName: no engine serves it.
        """
        served = self._served()
        found = Base(name) if name in served else self._base(name)
        if found is None or found.model not in served:
            raise UnknownName("model", name, served)
        return found

    def _served(self) -> set[str]:
        return {replica.engine.model for replica in self.pool.scheduler.replicas}


def configured(
    pool: Pool, config: ServiceConfig, base: Callable[[str], Base | None]
) -> StrategyModels:
    """The strategies of a configuration; see `StrategyModels` for the arguments."""
    given = config.strategies
    if given.any:  # for requests import nothing
        for registry in (STRATEGIES, VERIFIERS, READERS):
            for wrong in registry.load_brought():
                _log.warning("%s", wrong)
    common = dict(given.budget)

    def limits(budget: Budget) -> Limits:
        return Limits(**(common | budget.model_dump(exclude_none=True)))

    return StrategyModels(
        pool,
        offers=[
            Offer(one.title, one.strategy, one.model, limits(one.budget), one.reader)
            for one in given.models
        ],
        any=given.any,
        limits=Limits(**common),
        roles=config.roles,
        keep_alive=config.limits.keepalive_seconds,
        base=base,
    )


def _check_verifiers(strategy: Strategy, roles: Mapping[str, str], served: set[str]) -> None:
    """Raise unless there are models that play the verifiers' roles."""
    for verifier in verifiers(strategy):
        if (role := verifier.asks) is None:
            continue
        model = roles.get(role)
        if model is None:
            raise UnknownName("role", role, roles)
        if model not in served:
            raise UsageError(
                f"the role {role!r} is played by {model!r}, which no engine serves; use another "
                "verifier, such as logprob"
            )


def _split_at(name: str, models: Iterable[str]) -> tuple[str, str] | None:
    """The model that a name begins with, and what it must then mean as a strategy."""
    bases = [model for model in models if name.startswith(f"{model}:")]
    base = max(bases, key=len, default=None)
    return (base, name[len(base) + 1 :]) if base is not None else None
