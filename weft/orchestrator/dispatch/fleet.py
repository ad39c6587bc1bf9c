"""Fleet: the replicas of one model, and the calls that wait for any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from weft.orchestrator.dispatch.call_queue import CallQueue
from weft.orchestrator.dispatch.replica import Replica
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.dispatch.timer import At, Timer
from weft.orchestrator.estimates.profiles import Profiles


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
        self.common = CallQueue()
        self.waiting = 0
        self.engines: Sequence[Replica] = ()
        self.timer = Timer(at, lambda: overdue(self))
        self._clock = clock
        self.now = 0.0
        self.refresh()

    def refresh(self) -> None:
        """Look again which engines live."""
        self.engines = [replica for replica in self.replicas if replica.alive]
        sizes = [replica.capacity for replica in self.engines]
        self.least, self.most = min(sizes, default=0), max(sizes, default=0)

    def tick(self) -> float:
        """Read the clock: something happens."""
        self.now = now = self._clock()
        return now

    def able(self, ticket: Ticket) -> Fleet:
        """The view for a call: without the engine that failed it, if there are others."""
        only = ticket.call.only
        if ticket.avoid is None and self.least > ticket.prompt_tokens and not only:
            return self
        if only:
            able = [r for r in self.engines if r.name == only]
        else:
            able = [r for r in self.engines if r.capacity > ticket.prompt_tokens]
        able = able or list(self.engines)
        view = Fleet.__new__(Fleet)
        view.model, view.replicas, view.common = self.model, self.replicas, self.common
        view.profiles, view.now, view.waiting = self.profiles, self.now, self.waiting
        view.engines = [r for r in able if r is not ticket.avoid] or able
        return view
