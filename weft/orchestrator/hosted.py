"""Hosted: a context manager that may be entered in one task and left in another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from typing import Any

import anyio


class Hosted:
    """Enters a context manager in a task of its own, and leaves it there.

    Task groups and cancel scopes must be left by the task that entered them. Cells of a
    notebook are tasks of their own, and so are a framework's start-up and shutdown.

    Args:
        inner: what is entered. It must not depend on being cancelled together with the task
            that opens it.

    Attributes:
        error: what ended `inner` before it was closed; None if nothing did.
    """

    def __init__(self, inner: AbstractAsyncContextManager[Any]) -> None:
        self._inner = inner
        self._scope = anyio.CancelScope()
        self._opened, self._closing, self._over = anyio.Event(), anyio.Event(), anyio.Event()
        self.error: Exception | None = None
        self._task: object = None  # asyncio forgets tasks that nobody holds

    async def open(self) -> None:
        """Enter; if this is cancelled, or fails, all that was entered has been left.

        Raises:
            Exception: what `inner` raised.
        """
        self._task = _start(self._host)
        try:
            await self._opened.wait()
        except BaseException:
            self._scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._over.wait()
            raise
        self._raise()

    async def close(self) -> None:
        """Leave, by any task of the same event loop. Leaving is not cut short by cancellation.

        Raises:
            Exception: what `inner` raised.
        """
        self._closing.set()
        with anyio.CancelScope(shield=True):
            await self._over.wait()
        self._raise()

    def _raise(self) -> None:
        if (error := self.error) is not None:
            self.error = None
            raise error

    async def _host(self) -> None:
        try:
            with self._scope:
                async with self._inner:
                    self._opened.set()
                    await self._closing.wait()
        except Exception as error:
            self.error = error
        finally:
            self._opened.set()
            self._over.set()


def _start(work: Callable[[], Awaitable[None]]) -> object:
    """Run in a task that belongs to the event loop, not to a task group."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        from trio.lowlevel import spawn_system_task

        return spawn_system_task(work, context=copy_context())
    return loop.create_task(_run(work))


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
