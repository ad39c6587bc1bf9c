"""Health: takes engines that fail out of service, and brings them back when they answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import anyio

from weft.errors import EngineError, EngineUnavailable, PartFailed
from weft.orchestrator.dispatch.dispatcher import Dispatcher
from weft.orchestrator.dispatch.fleet import Fleet
from weft.orchestrator.dispatch.replica import Replica
from weft.parts.faults import blaming, truth

_BREAKS = 3  # failures in a row after which an engine rests, though it answers
_LONGEST_REST = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Fault:
    """An engine that says it is well failed at a call.

    Attributes:
        replica: the engine.
        begun: when the call was sent, by the scheduler's clock.
        ended: when it failed.
    """

    replica: Replica
    begun: float
    ended: float


class Health:
    """Watches over the engines of a dispatcher.

    Passively: an engine that fails a call is asked whether it is well, and is out of service
    if it isn't. One that says it is well may have failed because of the call: that counts only
    if another engine served the call, and after several of these in a row it rests (a circuit
    breaker). Calls that ran there together fail together, and count once. Actively: if told to,
    each engine is asked from time to time. What is out of service is asked until it answers, and
    comes back then; one that fails at once again rests longer, unless no other engine of its
    model is left. Of one that was restarted, all that was believed is forgotten.

    Args:
        dispatcher: whose engines are watched.
        check: seconds between questions to one that is in service; None never asks.

    Attributes:
        interval: seconds between questions to an engine that is out of service.
    """

    def __init__(self, dispatcher: Dispatcher, check: float | None = None) -> None:
        self.interval = 1.0
        self._dispatcher, self._check = dispatcher, check
        self._failures: dict[Replica, tuple[int, float]] = {}
        """Faults in a row, and when the last one was."""
        self._changed: dict[Replica, anyio.Event] = {}
        """Set when it is to be seen at once what an engine does."""
        self._asking: dict[Replica, _Asking] = {}

    def note_success(self, replica: Replica) -> None:
        """An engine served a call."""
        if self._failures:
            self._failures.pop(replica, None)

    async def check(self, replica: Replica, error: EngineError) -> bool:
        """Ask an engine that failed a call whether it is well; it is out of service if it isn't.

        Calls that fail together ask once.

        Args:
            replica: the engine.
            error: how it failed.

        Returns:
            whether it is out of service.
        """
        while replica.alive and (asking := self._asking.get(replica)) is not None:
            await asking.wait()
            if asking.well:
                return False
        if not replica.alive:
            return True
        asking = self._asking[replica] = _Asking()
        try:
            asking.well = await self._well(replica)
            if not asking.well:
                self._take_out(replica, error)
        finally:
            del self._asking[replica]
            asking.set()
        return not replica.alive

    def note_fault(self, fault: Fault) -> None:
        """Another engine served a call at which one failed that says it is well.

        The one that failed rests after several of these in a row, unless it is the last one of
        its model. A call that was sent before the latest of them counts with that one.
        """
        replica = fault.replica
        failures, latest = self._failures.get(replica, (0, -math.inf))
        if not replica.alive or fault.begun <= latest:
            return
        failures += 1
        self._failures[replica] = failures, fault.ended
        if failures >= _BREAKS and len(self._fleet(replica).living) > 1:
            said = f"{replica.name} failed {failures} times in a row at calls that others served"
            self._take_out(replica, EngineUnavailable(said))

    def _fleet(self, replica: Replica) -> Fleet:
        return self._dispatcher.fleets[replica.engine.model]

    def _take_out(self, replica: Replica, error: EngineError) -> None:
        if not replica.alive:
            return
        for orphan in self._dispatcher.roster.take_out(replica, error):
            orphan.wake()
        # Whoever rests is wanted when nobody else is left.
        looked_at = [replica] if self._fleet(replica).living else self._fleet(replica).replicas
        for one in looked_at:
            if one in self._changed:
                self._changed[one].set()

    async def attend(self, replica: Replica) -> None:
        """Watch over one engine until cancelled."""
        try:
            while True:
                changed = self._changed[replica] = anyio.Event()
                if replica.alive:
                    with anyio.move_on_after(self._check):
                        await changed.wait()
                    if replica.alive and not await self._answers(replica):
                        silent = f"{replica.name} does not answer health checks"
                        self._take_out(replica, EngineUnavailable(silent))
                else:
                    with anyio.move_on_after(self._rest(replica)):
                        await changed.wait()
                    if await self._well(replica):
                        self._dispatcher.roster.back(replica)
        finally:
            self._changed.pop(replica, None)
            self._failures.pop(replica, None)

    def _rest(self, replica: Replica) -> float:
        """Seconds after which an engine that is out of service is asked."""
        if not self._fleet(replica).living:
            return self.interval
        failures, _ = self._failures.get(replica, (0, 0.0))
        return min(_LONGEST_REST, self.interval * 2 ** max(0, failures - _BREAKS))

    async def _answers(self, replica: Replica) -> bool:
        """Whether an engine answers one of two questions: one missed answer may be chance."""
        if await self._well(replica):
            return True
        await anyio.sleep(min(self.interval, 1.0))
        return await self._well(replica)

    async def _well(self, replica: Replica) -> bool:
        engine = replica.engine
        try:
            with blaming("engine", type(engine)):
                well = truth(await engine.healthy(), "healthy")
        except (EngineError, PartFailed):
            return False
        if well and engine.process != replica.process:
            self._dispatcher.roster.renew(replica)
        elif well:
            replica.note_leased()
        return well


class _Asking:
    """A question to an engine whether it is well, which several calls wait for."""

    def __init__(self) -> None:
        self._answered = anyio.Event()
        self.well = False
        self.wait, self.set = self._answered.wait, self._answered.set
