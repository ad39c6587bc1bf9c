"""Server: runs the service until it is told to stop."""

from __future__ import annotations

import gc
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from types import FrameType

import anyio
import uvicorn

from weft.concurrency import TaskGroup
from weft.errors import Refused, UsageError, WeftError
from weft.interrupts import receiving_interrupts
from weft.service.app import App
from weft.service.client.guard import guarded
from weft.service.config.file import ServiceConfig
from weft.service.service import Service
from weft.service.watch.logs import set_up
from weft.service.watch.telemetry import Telemetry

_log = logging.getLogger(__name__)
_LAST_WORDS = 5  # seconds to tell clients, and engines, that there is no more time
_FILES = 65_536
_LOOK = 0.5  # seconds between two looks at what goes on while the service stops
_TURN = 0.0005  # seconds
_IDLE_CONNECTION = 75  # seconds that a client's idle connection is kept


def serve(
    config: ServiceConfig,
    reread: Callable[[], ServiceConfig] | None = None,
    opened: Callable[[], None] = lambda: None,
) -> None:
    """Serve until interrupted or terminated; SIGHUP reads the configuration anew.

    Args:
        config: of the service.
        reread: reads the configuration anew.
        opened: called when all that the configuration names is open.

    Raises:
        UsageError: the address can't be listened at, or an engine is not what it should be.
    """
    allow_files()
    options = {"use_uvloop": _has_uvloop()}
    anyio.run(_serve, config, reread, opened, backend="asyncio", backend_options=options)


def allow_files() -> None:
    """Let the process open as many files as it may: each request takes two sockets.

    The usual limit, 1024, is over at some 500 requests; connections are then reset unread.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(
    config: ServiceConfig,
    reread: Callable[[], ServiceConfig] | None,
    opened: Callable[[], None],
) -> None:
    set_up(
        "text" if sys.stderr.isatty() else "json",
        config.telemetry.log_level,
        telling=config.telemetry.log_prompts,
    )
    listening = _listen(config)
    async with Service(config, reread) as service:
        opened()
        await Server(service).work(listening)


def _listen(config: ServiceConfig) -> socket.socket:
    """A socket that takes connections from now on, so that a wrong address shows at once."""
    host, port = config.listen.host, config.listen.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UsageError(
            f"can't listen at {host}:{port}: {error.strerror}; give another --host or --port"
        ) from None
    # Connections inherit it; asyncio's own loop would not set it, as uvloop does.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class Server(uvicorn.Server):
    """Uvicorn's, set up for a service; requests are refused from the first signal on."""

    def __init__(self, service: Service) -> None:
        limits = service.config.limits
        self._service, self._telemetry = service, Telemetry(service)
        super().__init__(
            uvicorn.Config(
                App(service, self._telemetry),
                http=guarded(limits.header_bytes, limits.client_stall_seconds),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=_IDLE_CONNECTION,
                timeout_graceful_shutdown=math.ceil(limits.drain_seconds) + _LAST_WORDS,
            )
        )

    async def work(self, listening: socket.socket) -> None:
        """Serve until told to stop, with all that goes on beside requests."""
        service = self._service
        # What is there now stays; and requests leave few cycles, for which all that lives of
        # programs need not be looked through every few hundred of them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        # While a thread works on a large body, the event loop waits so long for its turn.
        sys.setswitchinterval(_TURN)
        async with TaskGroup() as group:
            exchanges = service.exchanges
            group.start_soon(exchanges.sweep, lambda: service.config.limits.client_stall_seconds)
            group.start_soon(service.named.follow)
            group.start_soon(exchanges.keep_open, lambda: service.config.limits.keepalive_seconds)
            if service.memory is not None:
                group.start_soon(service.memory.run)
            group.start_soon(self._stops)
            group.start_soon(_reloads, service)
            group.start_soon(self._telemetry.run)
            await self.serve([listening])
            group.cancel_scope.cancel()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """None: uvicorn would raise them again in the end, before the service is closed."""
        yield

    async def _stops(self) -> None:
        with (
            anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
            receiving_interrupts(),
        ):
            async with TaskGroup() as group:
                async for number in signals:
                    self.handle_exit(number, None)
                    group.start_soon(self._cut_off)

    def _end_what_nobody_waits_for(self) -> None:
        """End responses in the background that no client listens to: none can ask for them now.

        They are left to their engines if they will be known again, else they are cancelled.
        """
        alone = [one for one in self._service.exchanges if one.alone and one.cut is None]
        for exchange in alone:
            exchange.cancel(_stopped())
        if alone and self._service.memory is None:
            _log.warning(
                "%d responses in the background are cancelled: without a store nobody could ask "
                "for them after the stop",
                len(alone),
            )

    async def _cut_off(self) -> None:
        """End what is still under way when the time to drain is over, and say so."""
        with anyio.move_on_after(self._service.config.limits.drain_seconds):
            while True:
                self._end_what_nobody_waits_for()
                await anyio.sleep(_LOOK)
        for exchange in list(self._service.exchanges):
            exchange.cancel(_stopped())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal stops at once."""
        self._service.draining = True
        super().handle_exit(sig, frame)


def _stopped() -> Refused:
    return Refused(503, "the service has stopped; try again", 5.0)


async def _reloads(service: Service) -> None:
    """Read the configuration anew at each SIGHUP."""
    if sys.platform == "win32":
        return
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            try:
                await service.reload()
            except WeftError as error:
                _log.error("nothing was changed: %s", error)


def _has_uvloop() -> bool:
    return find_spec("uvloop") is not None
