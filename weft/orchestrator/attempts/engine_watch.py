"""EngineWatch: what is done for each engine while the scheduler runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import anyio.abc

from weft.concurrency import TaskGroup
from weft.errors import EngineError, PartFailed
from weft.orchestrator.attempts.health import Health
from weft.orchestrator.dispatch.replica import Replica
from weft.parts.faults import blaming

_log = logging.getLogger(__name__)


class EngineWatch:
    """Has the health of each engine watched, and each engine's cache followed.

    Args:
        health: of the engines.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._scopes: dict[Replica, anyio.CancelScope] = {}
        self._group: anyio.abc.TaskGroup | None = None

    async def run(self, replicas: Sequence[Replica]) -> None:
        """Watch over these engines, and those that are added; until cancelled."""
        async with TaskGroup() as group:
            self._group = group
            for replica in replicas:
                group.start_soon(self._attend, replica)
            await anyio.sleep_forever()  # engines may be added

    def add(self, replica: Replica) -> None:
        """Watch over an engine too, if engines are watched over by now."""
        if self._group is not None:
            self._group.start_soon(self._attend, replica)

    def remove(self, replica: Replica) -> None:
        """Watch over an engine no more."""
        if replica in self._scopes:
            self._scopes[replica].cancel()

    async def _attend(self, replica: Replica) -> None:
        """Look after one engine until it is removed."""
        with anyio.CancelScope() as scope:
            self._scopes[replica] = scope
            async with TaskGroup() as group:
                group.start_soon(self._follow, replica)
                group.start_soon(self._health.attend, replica)
        del self._scopes[replica]

    async def _follow(self, replica: Replica) -> None:
        """Know the engine's prefix cache by its own reports, if it gives any."""
        from weft.cache.kv_events import ReportedIndex  # its wire format takes long to import

        index = replica.reported = ReportedIndex()
        try:
            with blaming("engine", type(replica.engine)):
                await replica.engine.follow_cache(index)
        except (EngineError, PartFailed) as error:
            _log.warning("%s: cached prefixes are estimated instead: %s", replica.name, error)
        finally:
            replica.reported = None
