"""Fleet: the replicas of one model, and the calls that wait for any of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.call_queue import CallQueue
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.timers.timer import At, Timer


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
        stranded: those that wait for an engine to come back, for none is left.
        living: engines that answer.
        engines: those of them that calls may be sent to: without the ones that are busy, unless
            all are.
        lost: when the last engine was lost.
        watchers: called once when an engine is back, or none is waited for any more.
        watched: whether somebody looks whether the calls that wait stand still.
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
        self.living: tuple[Replica, ...] = ()
        self.engines: tuple[Replica, ...] = ()
        self.stranded = CallQueue()
        self.lost = 0.0
        self.watched = False
        self.watchers: list[Callable[[], None]] = []
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
        """Look again which engines live, and which of them are busy."""
        self.living = tuple(replica for replica in self.replicas if replica.alive)
        self.engines = tuple(r for r in self.living if not r.gate.shut) or self.living
        sizes = [replica.capacity for replica in self.living]
        self.least, self.most = min(sizes, default=0), max(sizes, default=0)

    def tick(self) -> float:
        """Read the clock: something happens."""
        self.now = now = self._clock()
        return now

    def has_slot(self) -> bool:
        """Whether any engine could run one call more, were there KV for it."""
        # Asked at every event, where a generator would cost as much again.
        for replica in self.engines:
            if replica.in_flight < replica.concurrency and not replica.gate.closed:
                return True
        return False

    def tickets(self) -> Iterator[Ticket]:
        """All calls that wait, in no order."""
        queues = (self.common, self.apart, self.stranded, *(r.queue for r in self.replicas))
        return itertools.chain.from_iterable(queues)

    def next_overdue(self, now: float) -> float:
        """When the next call after `now` becomes overdue; infinite if none will."""
        queues = (self.common, *(replica.queue for replica in self.engines))
        return min(queue.next_overdue(now) for queue in queues)

    def living_for(self, call: Call) -> tuple[Replica, ...]:
        """The engines in service that can run a call."""
        only = call.only
        return tuple(r for r in self.living if r.name in only) if only else self.living

    def able(self, ticket: Ticket) -> Fleet | FleetView:
        """The view for a call: without engines that failed it, if there are others."""
        if not ticket.avoid and self.least > ticket.prompt_tokens and not ticket.call.only:
            return self
        living = self.living_for(ticket.call)
        fitting = tuple(r for r in living if r.capacity > ticket.prompt_tokens) or living
        able = tuple(r for r in fitting if r in self.engines) or fitting or self.engines
        others = tuple(r for r in able if r not in ticket.avoid)
        return FleetView(self.now, others or able, self.waiting, self.profiles)
