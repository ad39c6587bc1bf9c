"""Upstreams: the raw connections to all engines of a service."""

from __future__ import annotations

from weft.backends.engine import Engine
from weft.orchestrator.dispatch.replica import Replica
from weft.service.config.settings import ServiceConfig
from weft.service.engines.upstream import Upstream


class Upstreams:
    """The raw connections to each engine, made when first used.

    Attributes:
        own: engines whose `silence` counts, not `limits.idle_seconds`.
    """

    def __init__(self, config: ServiceConfig) -> None:
        self._limits = config.limits
        self._made: dict[Engine, Upstream] = {}
        self.own: set[Engine] = set()

    def __getitem__(self, replica: Replica) -> Upstream:
        engine = replica.engine
        found = self._made.get(engine)
        if found is None:
            found = self._made[engine] = Upstream(
                engine.url.removesuffix("/v1"),
                engine.api_key,
                self._limits.connect_seconds,
                self._silence(engine),
                engine.wording,
            )
        return found

    def __len__(self) -> int:
        return len(self._made)

    def reload(self, config: ServiceConfig) -> None:
        """Go by other limits."""
        self._limits = config.limits
        for engine, upstream in self._made.items():
            upstream.allow(self._limits.connect_seconds, self._silence(engine))

    def _silence(self, engine: Engine) -> float:
        return engine.silence if engine in self.own else self._limits.idle_seconds

    async def forget(self, engine: Engine) -> None:
        """Close the connections to an engine that is gone, when nothing runs on them."""
        self.own.discard(engine)
        upstream = self._made.pop(engine, None)
        if upstream is not None:
            await upstream.idle()
            upstream.close()

    def close(self) -> None:
        """Close all connections."""
        for upstream in self._made.values():
            upstream.close()
