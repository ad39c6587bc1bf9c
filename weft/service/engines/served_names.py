"""The names that engines list, those that stand for them, and what takes over from what."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from weft.backends.engine import Engine
from weft.concurrency import TaskGroup
from weft.errors import EngineError
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.scheduler import Scheduler
from weft.service.config.settings import ServiceConfig

Card = Mapping[str, Any]

_log = logging.getLogger(__name__)
_SELDOM = 2.0  # seconds between two questions for names
_NOW_AND_THEN = 30.0  # seconds between questions that nobody waits for
_PATIENCE = 3.0  # seconds that engines may take to answer


@dataclass(frozen=True, slots=True)
class Served:
    """What a name stands for.

    Attributes:
        name: what engines are asked for.
        model: the scheduler's name of their model.
        only: names of the engines that serve it; empty if all of the model's do.
        adapter: the name again, if it is that of an adapter (LoRA), whose prefixes are its own;
            else empty.
    """

    name: str
    model: str
    only: tuple[str, ...] = ()
    adapter: str = ""


class ServedNames:
    """All names under which engines serve models, kept up to date with the scheduler's engines.

    Args:
        scheduler: has the engines.
        groups: the groups of engines that are in one, by the engines' names.
        config: names aliases and fallbacks.
    """

    def __init__(
        self, scheduler: Scheduler, groups: Mapping[str, str], config: ServiceConfig
    ) -> None:
        self._scheduler, self._groups = scheduler, groups
        self._last_look = -math.inf
        self._asking = anyio.Lock()
        self._changes = -1
        self._named: dict[str, Served] = {}
        self._cards: dict[str, Card] = {}
        self._group_cards: dict[str, Card] = {}
        self.reload(config)

    def reload(self, config: ServiceConfig) -> None:
        """Go by another configuration."""
        self._aliases = config.aliases
        self._patterns = [(_pattern(a), n) for a, n in config.aliases.items() if "*" in a]
        self._fallbacks = config.fallbacks
        self._changes = -1

    def get(self, name: str) -> Served | None:
        """What a name stands for that engines list, or that is a group's."""
        if self._changes != self._scheduler.changes:
            self._renew()
        return self._named.get(name)

    def find(self, name: str) -> Served | None:
        """The same, also for what an alias stands for."""
        found = self.get(name)
        if found is None and (behind := self.alias(name)) is not None:
            found = self.get(behind)
        return found

    @property
    def groups(self) -> set[str]:
        """The names of groups."""
        return set(self._groups.values())

    def alias(self, name: str) -> str | None:
        """The name that stands behind an alias or the first pattern that fits."""
        found = self._aliases.get(name)
        if found is None:
            found = next((n for pattern, n in self._patterns if pattern.fullmatch(name)), None)
        for _ in self._aliases:  # one may stand for another, in a circle too
            if found is None or self.get(found) is not None or found not in self._aliases:
                break
            found = self._aliases[found]
        return found

    def fallbacks(self, name: str) -> Sequence[Served]:
        """What takes over from a name, in this order, as far as engines serve it."""
        names = self._fallbacks.get(name)
        if not names:
            return ()
        return [found for found in map(self.find, names) if found is not None]

    def unserved(self, known: Callable[[str], bool]) -> list[str]:
        """A sentence for each name in the configuration that leads nowhere now.

        Args:
            known: whether a name is served by other than engines.
        """
        pairs = [
            (f"aliases.{alias}", name)
            for alias, name in self._aliases.items()
            if not known(self.alias(name) or name)
        ]
        pairs += [
            (f"fallbacks.{model}", name)
            for model, names in self._fallbacks.items()
            for name in names
        ]
        return [
            f"{place} is {name!r}, which no engine serves now"
            for place, name in pairs
            if self.find(name) is None
        ]

    def __iter__(self) -> Iterator[str]:
        """The names that are listed: groups are not, for they are the same models."""
        if self._changes != self._scheduler.changes:
            self._renew()
        return iter(self._cards)

    def cards(self) -> list[Card]:
        """What is told of the names that are listed, and of aliases that are no patterns."""
        found = {name: self._cards[name] for name in self}
        for alias, name in self._aliases.items():
            if "*" not in alias and alias not in found and (card := self.card(name)):
                found[alias] = {**card, "id": alias, "root": name}
        return list(found.values())

    def card(self, name: str) -> Card | None:
        """What engines tell of a name, or of the model of a group or an alias."""
        if self.get(name) is None:
            name = self.alias(name) or name
        return self._cards.get(name) or self._group_cards.get(name)

    def replicas(self, served: Served) -> list[Replica]:
        """The engines that serve a name and are in service."""
        living = self._scheduler.engines_of(served.model)
        return [r for r in living if not served.only or r.name in served.only]

    def context(self, served: Served) -> int | None:
        """Most tokens of prompt and answer on every engine of a name; None if unknown."""
        found = [r.engine.context for r in self.replicas(served) if r.engine.context]
        return min(found, default=None)

    async def follow(self) -> None:
        """Keep up with adapters that come and go; until cancelled."""
        while True:
            await anyio.sleep(_NOW_AND_THEN)
            await self.look_again()

    async def look_again(self) -> bool:
        """Ask engines anew what they list, but not all the time; whether it may have changed.

        Adapters are loaded while engines run: whoever asks for a new one should find it.
        """
        async with self._asking:
            if anyio.current_time() - self._last_look < _SELDOM:
                return False
            before = [_names(replica) for replica in self._scheduler.replicas]
            async with TaskGroup() as group:
                for replica in self._scheduler.replicas:
                    if replica.alive:
                        group.start_soon(_look, replica.engine)
            self._last_look = anyio.current_time()
            if before == [_names(replica) for replica in self._scheduler.replicas]:
                return False
            self._changes = -1
            return True

    def _renew(self) -> None:
        self._changes = self._scheduler.changes
        self._named, self._cards, self._group_cards = {}, {}, {}
        for model, replicas in self._scheduler.by_model().items():
            self._add(model, replicas)

    def _add(self, model: str, replicas: Sequence[Replica]) -> None:
        grouped: dict[str, list[Replica]] = {}
        plain: list[Replica] = []
        for replica in replicas:
            group = self._groups.get(replica.name)
            (plain if group is None else grouped.setdefault(group, [])).append(replica)
        for group, members in grouped.items():
            self._named.setdefault(group, _served(model, model, members, replicas))
            card = {**_card(model, members), "id": group, "root": model}
            self._group_cards.setdefault(group, card)
        listed = {r: {model, *(str(card.get("id")) for card in r.engine.cards)} for r in plain}
        names = {name: None for r in plain for name in (model, *sorted(listed[r]))}
        for name in names:
            listing = [r for r in plain if name in listed[r]]
            self._named[name] = _served(name, model, listing, replicas)
            self._cards[name] = _card(name, listing)


def _names(replica: Replica) -> list[tuple[Any, Any]]:
    return [(card.get("id"), card.get("parent")) for card in replica.engine.cards]


async def _look(engine: Engine) -> None:
    with anyio.move_on_after(_PATIENCE):
        try:
            await engine.list_names()
        except EngineError as error:
            _log.debug("%s", error)


def _served(name: str, model: str, listing: Sequence[Replica], all: Sequence[Replica]) -> Served:
    only = () if len(listing) == len(all) else tuple(r.name for r in listing)
    own = any(r.engine.adapts(name) for r in listing)
    return Served(name, model, only, name if own else "")


def _card(name: str, listing: Sequence[Replica]) -> Card:
    """What engines tell of a name; the shortest context of them."""
    told = [card for r in listing for card in r.engine.cards if card.get("id") == name]
    card: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": "weft"}
    card |= told[0] if told else {}
    lengths = [length for length in (_length(r, name) for r in listing) if length]
    return card | ({"max_model_len": min(lengths)} if lengths else {})


def _length(replica: Replica, name: str) -> int | None:
    for card in replica.engine.cards:
        length = card.get("max_model_len")
        if card.get("id") == name and isinstance(length, int):
            return length
    return replica.engine.context


def _pattern(alias: str) -> re.Pattern[str]:
    first, *between, last = map(re.escape, alias.split("*"))
    # What was found of the first parts is kept: else time would grow by each *'s power.
    found = "".join(f"(?>.*?{part})" for part in between)
    return re.compile(f"{first}{found}.*{last}", re.DOTALL)
