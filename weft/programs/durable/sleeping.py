"""sleep: a wait that goes on while no process runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import anyio

from weft.errors import UsageError
from weft.programs.durable.deeds import result_of
from weft.programs.scope import running
from weft.programs.scope.waiting import noted, waiting

if TYPE_CHECKING:
    from weft.store.kept_runs import Deed


async def sleep(seconds: float) -> None:
    """Wait. In a run with an id the wait goes on though its process dies.

    The end of the wait is kept as a time of the day. A run that is resumed waits for what is
    left, and not at all when the time has come. To the scheduler the program waits for a tool
    named `sleep`.

    Args:
        seconds: how long; 0 or more.

    Raises:
        UsageError: `seconds` is no number, or below 0.
        RunChanged: the run did something else there before.
    """
    number = isinstance(cast(object, seconds), int | float) and not isinstance(seconds, bool)
    if not number or not 0 <= seconds < float("inf"):
        raise UsageError(f"sleep({seconds!r}) must be a number of seconds, 0 or more")
    scope = running()
    if scope is None or (deeds := scope.deeds) is None:
        async with waiting("sleep", expects=seconds or None):
            await anyio.sleep(seconds)
        return
    key = deeds.key(scope.branch, "sleep", "sleep", f"{seconds:g}")

    def begin() -> Deed:
        until = time.time() + seconds
        return deeds.kept.begin_deed(
            deeds.id, key, scope.branch, "sleep", "sleep", f"{seconds:g}", "waiting", until
        )

    async def act(deed: Deed) -> str:
        left = (deed.until or 0.0) - time.time()
        if left > 0:
            with scope.waiting("sleep", left):
                await anyio.sleep(left)
        return "null"

    with noted(scope, "sleep") as inside:
        await result_of(inside, deeds, key, begin, act)
