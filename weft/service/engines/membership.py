"""Engines: those that the configuration names, opened, taken into the pool and let go."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from types import TracebackType

import anyio

from weft.backends.engine import Engine
from weft.backends.kinds.specs import open_engines, parse
from weft.concurrency import TaskGroup
from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.service.config.engine_settings import EngineConfig
from weft.service.config.settings import ServiceConfig
from weft.service.engines.public_names import EngineNames
from weft.service.engines.upstreams import Upstreams

_log = logging.getLogger(__name__)


class Engines:
    """The engines behind a service.

        async with Engines(pool, upstreams, names) as engines:
            await engines.open(config)

    Args:
        pool: takes them; open.
        upstreams: the raw connections to them.
        names: what tenants call them.
    """

    def __init__(self, pool: Pool, upstreams: Upstreams, names: EngineNames) -> None:
        self._pool, self._upstreams, self._names = pool, upstreams, names
        self.groups: dict[str, str] = {}
        """The groups of engines that are in one, by the engines' names."""
        self._opened: dict[str, tuple[AsyncExitStack, Sequence[Engine]]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Engines:
        await self._stack.__aenter__()
        self._stack.push_async_callback(self._close)
        self._tasks = await self._stack.enter_async_context(TaskGroup())
        self._stack.callback(self._tasks.cancel_scope.cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    async def open(self, config: ServiceConfig) -> None:
        """Open all engines of a configuration.

        Raises:
            WeftError: one is not what it should be.
        """
        async with TaskGroup() as group:
            for engine in config.engines:
                group.start_soon(self.add, engine)
        if config.local is not None:
            spec = EngineConfig(spec=f"local:{config.local.model}")
            await self.add(spec, config.local.replicas)

    async def add(self, config: EngineConfig, replicas: int = 1) -> None:
        """Open the engines of one entry; what can't be reached joins when it can.

        Raises:
            WeftError: it is not what it should be.
        """
        stack = AsyncExitStack()
        engines = await stack.enter_async_context(_opened(config, replicas))
        self._opened[config.title] = stack, engines
        for engine in engines:
            if config.name is not None:
                engine.name = config.name if len(engines) == 1 else f"{config.name}-{engine.name}"
            if config.group is not None:
                self.groups[engine.name] = config.group
            engine.allow(
                concurrency=config.concurrency,
                rate=config.rate,
                silence=config.silence,
                retry=config.retry.model_dump() if config.retry.model_fields_set else None,
            )
            if config.silence is not None or "silence" in parse(config.spec).options:
                self._upstreams.own.add(engine)
            _check_url(engine)
            self._names.add(engine, given=config.name is not None)
            await self._pool.add(engine)

    async def remove(self, config: EngineConfig) -> None:
        """Let the engines of one entry go; calls that run there end in peace."""
        stack, engines = self._opened.pop(config.title, (AsyncExitStack(), ()))
        for engine in engines:
            self.groups.pop(engine.name, None)
            try:
                await self._tasks.start(self._pool.remove, engine.name)
            except UsageError as error:
                _log.warning("%s", error)
        self._tasks.start_soon(self._forget, stack, engines)

    async def _forget(self, stack: AsyncExitStack, engines: Sequence[Engine]) -> None:
        try:
            for engine in engines:
                await self._upstreams.forget(engine)
        finally:  # the service may be closed meanwhile
            with anyio.CancelScope(shield=True):
                await stack.aclose()

    async def _close(self) -> None:
        for stack, _ in self._opened.values():
            await stack.aclose()


async def check_engines(config: ServiceConfig) -> None:
    """Find what is wrong with engines before the service starts, without asking any server.

    Kinds that may start something are left out.

    Raises:
        WeftError: an engine is not what it should be.
    """
    for one in config.engines:
        if getattr(parse(one.spec).kind, "starts", False):
            continue
        async with _opened(one) as engines:
            for engine in engines:
                try:
                    _check_url(engine)
                finally:
                    with suppress(Exception):  # it was never connected
                        await engine.aclose()


def _opened(config: EngineConfig, replicas: int = 1) -> AbstractAsyncContextManager[list[Engine]]:
    """The engines of one entry."""
    key = config.api_key.get_secret_value() if config.api_key is not None else None
    return open_engines(
        [config.spec],
        model=config.model,
        replicas=replicas,
        api_key=key,
        further=config.further,
        on_progress=_log.info,
    )


def _check_url(engine: Engine) -> None:
    if not engine.url:
        raise UsageError(
            f"engine {engine.name} takes no requests over HTTP, which weft serve needs; "
            f"set `url` in {type(engine).__name__}, or give a server's address"
        )
