"""Task groups that raise the error itself, the event loop's clock, and when the loop is idle.

The one place that unwraps exception groups.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator, Sized
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn, cast
from weakref import WeakKeyDictionary

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint

from weft.errors import WeftError

_BLIND = 25
"""Turns of an event loop after which it counts as settled if it can't tell whether it is."""

_BUSY_TURNS, _BUSY_SECONDS = 1000, 1.0
"""After so many turns, or seconds on trio, it does if others always have something to do."""


def now() -> float:
    """The time on anyio's clock, in seconds, on asyncio without anyio's search for the loop."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return anyio.current_time()


def event_loop() -> object | None:
    """The event loop that runs in this thread, to tell it from others; None if none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio.lowlevel")
        return trio.current_trio_token() if trio is not None and trio.in_trio_run() else None


def signal() -> tuple[Callable[[], None], Awaitable[None]]:
    """What wakes one task, once, and what this task awaits; on asyncio no more than a future.

    Where many tasks wait, an `anyio.Event` for each of them costs several times as much.
    """
    try:
        future = asyncio.get_running_loop().create_future()
    except RuntimeError:
        event = anyio.Event()
        return event.set, event.wait()
    return _Wake(future), future


class _Wake:
    """Fulfils a future when it is called; a third of the objects of a `partial`."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._future = future

    def __call__(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


async def until_idle() -> None:
    """Let everything run that can, until all wait: for each other, for the network, for time.

    Where others always have something to do, or the loop can't tell (uvloop), a while must be
    enough.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        with anyio.move_on_after(_BUSY_SECONDS):
            await anyio.wait_all_tasks_blocked()
        return
    ready = cast("Sized | None", getattr(loop, "_ready", None))
    if ready is None:
        for _ in range(_BLIND):
            await checkpoint()
        return
    idle = _idle.setdefault(loop, _Idle())
    seen = idle.seen
    idle.waiting += 1
    try:
        for _ in range(_BUSY_TURNS):
            await checkpoint()
            if idle.seen != seen:
                return
            if len(ready) < idle.waiting:  # only those are left to run that wait for the same
                idle.seen += 1
                return
    finally:
        idle.waiting -= 1


class _Idle:
    """How often an event loop had nothing to do, and how many tasks wait for that."""

    waiting = seen = 0


_idle: WeakKeyDictionary[asyncio.AbstractEventLoop, _Idle] = WeakKeyDictionary()


class TaskGroup:
    """A task group of anyio that raises one plain error, where anyio's raises a group.

        async with TaskGroup() as tasks:
            tasks.start_soon(work)

    What a task or the block raises comes out as it was raised, on asyncio and on trio. Of
    several errors the first one is raised. An exception group that a task raised by itself
    stays one.
    """

    async def __aenter__(self) -> anyio.abc.TaskGroup:
        self._group = anyio.create_task_group()
        return await self._group.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        with single_error():
            return await self._group.__aexit__(kind, error, trace)


@contextmanager
def single_error() -> Generator[None]:
    """Raise one plain error where what runs in the block raises a group of errors."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise_alone(group)


def raise_alone(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise the error that matters most of a task group's, as it was raised.

    What ends the process comes before errors, and these before cancellation; of equals the
    first counts.
    """
    alone = min(group.exceptions, key=_rank)
    context = alone.__context__
    try:
        raise alone
    finally:
        alone.__context__ = context  # not the group, which says nothing more


def _rank(error: BaseException) -> int:
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return 2
    return 1 if isinstance(error, Exception) else 0


def first_error(error: BaseException) -> BaseException:
    """The error to show of one that may be a group: the first of weft's, or the first of all."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [first_error(e) for e in cast("BaseExceptionGroup[BaseException]", error).exceptions]
    return next((e for e in inner if isinstance(e, WeftError)), inner[0])
