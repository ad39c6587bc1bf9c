"""Interrupts: exceptions that come from outside, told from those that code raises by itself."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio

from weft.concurrency import event_loop

_receivers = 0


@contextmanager
def receiving_interrupts() -> Generator[None]:
    """For the time of the block a receiver of signals gets Ctrl-C, and not the code that runs.

    A `KeyboardInterrupt` is then the doing of the code that raises it, as any exception is.
    """
    global _receivers
    _receivers += 1
    try:
        yield
    finally:
        _receivers -= 1


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody ends the process by Ctrl-C."""
    return isinstance(error, KeyboardInterrupt) and not _receivers


def must_pass(error: BaseException) -> bool:
    """Whether an exception is not the doing of the code that raises it.

    That is so where somebody ends the process by Ctrl-C, cancels the running task, or closes a
    coroutine that nothing runs any more.
    """
    return is_interrupt(error) or is_cancellation(error) or _is_closing(error)


def _is_closing(error: BaseException) -> bool:
    """Whether the coroutine that catches an exception is closed, after its event loop's end."""
    if not isinstance(error, GeneratorExit) or event_loop() is not None:
        return False
    caught = error.__traceback__
    return caught is None or bool(caught.tb_frame.f_code.co_flags & inspect.CO_COROUTINE)


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception that the running task raises is due to a cancellation of this task."""
    try:
        cancelled = anyio.get_cancelled_exc_class()
    except RuntimeError:  # no event loop runs
        return False
    if cancelled is not asyncio.CancelledError or not isinstance(error, cancelled):
        return isinstance(error, cancelled)  # with trio, only a cancellation raises it
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return True
    return anyio.current_effective_deadline() == -math.inf
