"""Whether engines that compute or cost something are forbidden, as in users' tests."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from weft.errors import UsageError

VARIABLE = "WEFT_FORBID_ENGINES"
_blocks = 0


@contextmanager
def forbid_engines() -> Generator[None]:
    """Forbid all engines but scripted and simulated ones for the time of a block.

    A pool with another engine is refused when it opens, before any request and before a server
    is started. `WEFT_FORBID_ENGINES=1` in the environment does the same for a whole process.
    Pools that are open already stay.
    """
    global _blocks
    _blocks += 1
    try:
        yield
    finally:
        _blocks -= 1


def check_allowed(engines: Iterable[object]) -> None:
    """Check engines, or specs of engines, that are to be used.

    Raises:
        UsageError: one is real, and real ones are forbidden.
    """
    if not _blocks and os.environ.get(VARIABLE, "") in ("", "0"):
        return
    for engine in engines:
        if getattr(engine, "real", True):
            name = getattr(engine, "name", None) or engine
            raise UsageError(
                f"the engine {name} is forbidden here by forbid_engines or {VARIABLE}; "
                "let a ScriptedEngine answer"
            )
