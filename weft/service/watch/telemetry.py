"""Telemetry: all that looks at what the service does."""

from __future__ import annotations

import time
from importlib.metadata import version

import anyio

from weft.backends.engine import EngineLoad
from weft.concurrency import TaskGroup
from weft.service.engines.loads import follow_loads
from weft.service.service import Service
from weft.service.watch.logs import EventLog
from weft.service.watch.metrics import Metrics
from weft.service.watch.overview import Overview
from weft.service.watch.tracing import Tracing

_LAST = 5.0  # seconds that the last spans may take


class Telemetry:
    """Metrics, the dashboard's overview, the log of calls and, if configured, traces.

    Args:
        service: an open service.

    Attributes:
        metrics: for Prometheus.
        overview: for the dashboard.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loads: dict[str, EngineLoad] = {}
        registry, scheduler = service.registry, service.scheduler
        self.overview = Overview(registry, scheduler, self._loads, time.time())
        self.metrics = Metrics(registry, scheduler, self._loads, service.offered)
        url = service.config.telemetry.otlp
        self._tracing = (
            Tracing(url, registry.programs, version=version("weft")) if url is not None else None
        )
        registry.observers += [self.overview, self.metrics, EventLog()]
        if self._tracing is not None:
            registry.observers.append(self._tracing)

    async def run(self) -> None:
        """Measure what must be measured, until cancelled; send the last spans then."""
        try:
            async with TaskGroup() as group:
                group.start_soon(self.metrics.watch)
                group.start_soon(follow_loads, self._service.scheduler, self._loads)
        finally:
            if self._tracing is not None:
                with anyio.CancelScope(shield=True):
                    await self._tracing.aclose(_LAST)
