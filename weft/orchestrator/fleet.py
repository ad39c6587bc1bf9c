"""Fleet: the replicas of one model, and the calls that wait for any of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from weft.orchestrator.lane import Lane
from weft.orchestrator.profiles import Profiles
from weft.orchestrator.replica import Replica
from weft.orchestrator.ticket import Ticket


class Fleet:
    """A `View` for policies."""

    def __init__(self, model: str, profiles: Profiles, clock: Callable[[], float]) -> None:
        self.model = model
        self.replicas: list[Replica] = []
        self.profiles = profiles
        self.common = Lane()
        self.alarm = math.inf
        self.engines: Sequence[Replica] = ()
        self._clock = clock
        self.refresh()

    def refresh(self) -> None:
        """Look again which engines live."""
        self.engines = [replica for replica in self.replicas if replica.alive]
        sizes = [replica.capacity for replica in self.engines]
        self.least, self.most = min(sizes, default=0), max(sizes, default=0)

    @property
    def now(self) -> float:
        """The scheduler's clock."""
        return self._clock()

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self.common) + sum(len(replica.lane) for replica in self.replicas)

    def able(self, ticket: Ticket) -> Fleet:
        """The view for a call: without the engine that failed it, if there are others."""
        if ticket.avoid is None and self.least > ticket.prompt_tokens:
            return self
        able = [r for r in self.engines if r.capacity > ticket.prompt_tokens]
        able = able or list(self.engines)
        view = Fleet.__new__(Fleet)
        view.model, view.replicas, view.common = self.model, self.replicas, self.common
        view.profiles, view._clock = self.profiles, self._clock
        view.engines = [r for r in able if r is not ticket.avoid] or able
        return view
