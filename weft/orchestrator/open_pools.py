"""Which pool the running code uses, if none is named."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from weft.concurrency import event_loop

if TYPE_CHECKING:
    from weft.orchestrator.pool import Pool

_current: ContextVar[Pool | None] = ContextVar("weft_pool", default=None)
_open: list[tuple[Pool, object]] = []
# With their event loops; the one that was opened last stands last.


def find_pool() -> Pool | None:
    """The pool around the running code; else the one that was opened last in this event loop.

    So calls find a pool that was opened by another task, such as another cell of a notebook.
    """
    pool = _current.get()
    if pool is not None and pool.is_open:
        return pool
    here = event_loop()
    return next((p for p, loop in reversed(_open) if here in (None, loop)), pool)


def set_open(pool: Pool) -> Token[Pool | None]:
    """Have the code that runs from here on find a pool.

    Returns:
        what `set_closed` takes.
    """
    _open.append((pool, event_loop()))
    return _current.set(pool)


def set_closed(pool: Pool, token: Token[Pool | None] | None) -> None:
    """Have no code find a pool any more."""
    if token is not None:
        with suppress(ValueError):  # set in another context, such as a notebook's first cell
            _current.reset(token)
    _open[:] = [one for one in _open if one[0] is not pool]
