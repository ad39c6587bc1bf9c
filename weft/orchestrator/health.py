"""Health: takes engines that fail out of service, and brings them back when they answer."""

from __future__ import annotations

import anyio

from weft.errors import EngineUnavailable
from weft.orchestrator.dispatch.dispatcher import Dispatcher
from weft.orchestrator.dispatch.replica import Replica

_BREAKS = 3  # failed calls in a row after which an engine rests, though it answers
_LONGEST_REST = 30.0  # seconds


class Health:
    """Watches over the engines of a dispatcher.

    Passively: an engine that fails a call is asked whether it is well, and is out of service
    if it isn't, or if it has failed several calls in a row (a circuit breaker). Actively: if
    told to, each engine is asked from time to time. What is out of service is asked until it
    answers, and comes back then; one that fails at once again rests longer.

    Args:
        dispatcher: whose engines are watched.
        check: seconds between questions to one that is in service; None never asks.

    Attributes:
        interval: seconds between questions to an engine that is out of service.
    """

    def __init__(self, dispatcher: Dispatcher, check: float | None = None) -> None:
        self.interval = 1.0
        self._dispatcher, self._check = dispatcher, check
        self._failed: dict[Replica, int] = {}
        self._out: dict[Replica, anyio.Event] = {}

    def succeeded(self, replica: Replica) -> None:
        """An engine served a call."""
        if self._failed:
            self._failed.pop(replica, None)

    async def examine(self, replica: Replica, error: EngineUnavailable, count: bool = True) -> None:
        """Take an engine that failed a call out of service, unless it is well.

        Args:
            replica: the engine.
            error: how it failed.
            count: whether to have it rest after several of these, though it says that it is well.
        """
        if not replica.alive:
            return
        failed = self._failed[replica] = self._failed.get(replica, 0) + count
        if failed >= _BREAKS or not await replica.engine.healthy():
            self._take_out(replica, error)

    def _take_out(self, replica: Replica, error: EngineUnavailable) -> None:
        if not replica.alive:
            return
        for orphan in self._dispatcher.died(replica, error):
            orphan.wake()
        if replica in self._out:
            self._out[replica].set()

    async def attend(self, replica: Replica) -> None:
        """Watch over one engine until cancelled."""
        try:
            while True:
                if replica.alive:
                    self._out[replica] = anyio.Event()
                    with anyio.move_on_after(self._check):
                        await self._out[replica].wait()
                    if replica.alive and not await self._answers(replica):
                        silent = f"{replica.name} does not answer health checks"
                        self._take_out(replica, EngineUnavailable(silent))
                else:
                    extra = max(0, self._failed.get(replica, 0) - _BREAKS)
                    await anyio.sleep(min(_LONGEST_REST, self.interval * 2**extra))
                    if await replica.engine.healthy():
                        self._dispatcher.back(replica)
        finally:
            self._out.pop(replica, None)
            self._failed.pop(replica, None)

    async def _answers(self, replica: Replica) -> bool:
        """Whether an engine answers one of two questions: one missed answer may be chance."""
        if await replica.engine.healthy():
            return True
        await anyio.sleep(min(self.interval, 1.0))
        return await replica.engine.healthy()
