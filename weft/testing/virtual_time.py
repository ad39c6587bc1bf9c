"""Virtual time: waits, timeouts and deadlines of a program pass at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from weft.errors import MissingExtra

T = TypeVar("T")


def in_virtual_time(function: Callable[..., Awaitable[T]], *args: Any, patience: float = 0.0) -> T:
    """Run an async function on a clock that jumps whenever everything waits.

        def test_it_gives_up_after_an_hour():
            assert in_virtual_time(main) == "gave up"

    `anyio.sleep`, `weft.sleep`, timeouts of tools, budgets of seconds and the times of a
    `ScriptedEngine` (`token_seconds`) all go by this clock; in the order in which they would
    come, and without waiting. The function runs on trio. What runs in a thread, such as a plain
    tool, takes no time on this clock: give `patience` there. A wait for what never comes, such as
    an answer that no person gives, does not end: see `people`.

    Args:
        function: what is run.
        *args: for it.
        patience: real seconds without any news after which the clock jumps.

    Raises:
        MissingExtra: trio is not installed.
        Exception: whatever the function raises.
    """
    try:
        import trio
        import trio.testing
    except ImportError:
        raise MissingExtra("in_virtual_time needs trio; install it: pip install trio") from None

    async def whole() -> T:
        return await function(*args)

    return trio.run(whole, clock=trio.testing.MockClock(autojump_threshold=patience))
