"""Work on large bodies, beside the event loop: others are answered meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

import anyio
import anyio.lowlevel
import anyio.to_thread
import orjson

from weft.service.client.json_writing import write_pieces

LARGE = 1 << 20
"""Bytes of a body that takes so long to read that others would wait for it."""

_THREADS = 2
"""Bodies that are worked on at once: more threads only take the interpreter from each other."""

_Ts = TypeVarTuple("_Ts")
_T = TypeVar("_T")
_limiter = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("weft_large_bodies")


async def aside(function: Callable[[*_Ts], _T], *values: *_Ts) -> _T:
    """Call a function in a thread. Whoever calls must leave what it works on alone meanwhile."""
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, *values, limiter=limiter)


async def aside_if_large(size: int, function: Callable[[*_Ts], _T], *values: *_Ts) -> _T:
    """Call a function; in a thread if the body of `size` bytes that it works on is large."""
    return await aside(function, *values) if size > LARGE else function(*values)


def written(body: Any, raw: bytes) -> bytes:
    """A body in JSON; in pieces if that which came was large.

    Args:
        body: as it is now.
        raw: as it came.
    """
    return write_pieces(body) if len(raw) > LARGE else orjson.dumps(body)
