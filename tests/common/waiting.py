"""Waiting for facts, however long they take: a test's own timeout is the only bound."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

_OFTEN = 0.01
PATIENCE = 150.0
"""Seconds, a little less than a test may take: so the failure says what was waited for."""


async def until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is true, though nobody tells when."""
    with anyio.move_on_after(seconds):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(_OFTEN)
    assert true()


def block_until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """The same outside of event loops: for threads and processes."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(_OFTEN)
    assert true()
