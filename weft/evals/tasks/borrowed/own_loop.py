"""Code of others that must be awaited, where what calls it can't await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")


def in_own_loop(call: Callable[[], Awaitable[T]]) -> T:
    """What a call gives, awaited in an event loop of asyncio that is there for the call alone.

    The loop runs in this thread, so that the call may ask an evaluation that waits for this thread.
    Where this thread has a loop already, the call gets a thread of its own.
    """

    async def waiting() -> T:
        return await call()

    if not _has_loop():
        return asyncio.run(waiting())
    found: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(asyncio.run(waiting()))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="borrowed task")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _has_loop() -> bool:
    try:
        anyio.get_current_task()
    except RuntimeError:
        return False
    return True
