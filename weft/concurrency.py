"""Task groups that raise the error itself, and the event loop's clock.

The one place that unwraps exception groups.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import NoReturn, cast

import anyio
import anyio.abc

from weft.errors import WeftError


def now() -> float:
    """The time on anyio's clock, in seconds, on asyncio without anyio's search for the loop."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return anyio.current_time()


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
        try:
            return await self._group.__aexit__(kind, error, trace)
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
