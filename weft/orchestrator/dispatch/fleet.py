"""Fleet: the replicas of one model, and the calls that wait for any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weft.orchestrator.dispatch.call_queue import CallQueue
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.dispatch.timer import At, Timer
from weft.orchestrator.estimates.profiles import Profiles


@dataclass(slots=True)
class FleetView:
    """A `View` of some engines of a fleet."""

    now: float
    engines: Sequence[Replica]
    waiting: int
    profiles: Profiles


class Fleet:
    """A `View` for policies.

    Args:
        model: that the replicas serve.
        profiles: what is known of programs.
        clock: the time in seconds.
        at: has a callback called at a time.
        overdue: is called when a call has become overdue, if the timer was set for it.

    Attributes:
        timer: for the first call that becomes overdue.
        now: the scheduler's clock when something last happened.
        waiting: calls that wait.
        common: those that wait for any engine.
        apart: overdue ones, each with an engine that empties itself for it; they go to
            whichever has room first.
    """

    def __init__(
        self,
        model: str,
        profiles: Profiles,
        clock: Callable[[], float],
        at: At,
        overdue: Callable[[Fleet], None],
    ) -> None:
        self.model = model
        self.replicas: list[Replica] = []
        self.profiles = profiles
        self.common, self.apart = CallQueue(), CallQueue()
        self.waiting = 0
        self.engines: tuple[Replica, ...] = ()
        self.timer = Timer(at, lambda: overdue(self))
        self._clock = clock
        self.now = 0.0
        self.refresh()

    def add(self, replica: Replica) -> None:
        """Take a replica in."""
        replica.fleet = self
        self.replicas.append(replica)
        self.refresh()

    def refresh(self) -> None:
        """Look again which engines live."""
        self.engines = tuple(replica for replica in self.replicas if replica.alive)
        sizes = [replica.capacity for replica in self.engines]
        self.least, self.most = min(sizes, default=0), max(sizes, default=0)

    def tick(self) -> float:
        """Read the clock: something happens."""
        self.now = now = self._clock()
        return now

    def has_slot(self) -> bool:
        """Whether any engine could run one call more, were there KV for it."""
        # Asked at every event, where a generator would cost as much again.
        for replica in self.engines:  # noqa: SIM110
            if replica.in_flight < replica.concurrency:
                return True
        return False

    def able(self, ticket: Ticket) -> Fleet | FleetView:
        """The view for a call: without the engine that failed it, if there are others."""
        only = ticket.call.only
        if ticket.avoid is None and self.least > ticket.prompt_tokens and not only:
            return self
        if only:
            able = tuple(r for r in self.engines if r.name == only)
        else:
            able = tuple(r for r in self.engines if r.capacity > ticket.prompt_tokens)
        able = able or self.engines
        others = tuple(r for r in able if r is not ticket.avoid)
        return FleetView(self.now, others or able, self.waiting, self.profiles)
