"""gather: one function on many items, results in the items' order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeVar, cast, overload

from weft.errors import UsageError
from weft.programs.fan_out import fan_out
from weft.programs.nodes import awaitable, close_unused, stands_for

Item = TypeVar("Item")
T = TypeVar("T")


@overload
async def gather(
    function: Callable[[Item], Awaitable[T]],
    items: Iterable[Item],
    *,
    limit: int | None = None,
    errors: Literal["raise"] = "raise",
    programs: bool = False,
) -> list[T]: ...
@overload
async def gather(
    function: Callable[[Item], Awaitable[T]],
    items: Iterable[Item],
    *,
    limit: int | None = None,
    errors: Literal["keep"],
    programs: bool = False,
) -> list[T | Exception]: ...
async def gather(
    function: Callable[[Item], Awaitable[T]],
    items: Iterable[Item],
    *,
    limit: int | None = None,
    errors: Literal["raise", "keep"] = "raise",
    programs: bool = False,
) -> list[Any]:
    """Run `function` on every item at once, and give all results in the items' order.

    A `fan_out` of which all results are wanted: the scheduler hears of the group likewise.

    Args:
        function: an async function of one item.
        items: the inputs.
        limit: how many run at once; None runs all.
        errors: `raise` raises the first error and cancels the rest; `keep` puts errors among
            the results, each in its item's place. Cancellation is never kept.
        programs: whether each is a program of its own to the scheduler (see `fan_out`).

    Raises:
        UsageError: an argument is of the wrong kind.
        Exception: what the function raises, unless errors are kept.
    """
    if errors not in ("raise", "keep"):
        raise UsageError(f'gather errors={errors!r} must be "raise" or "keep"')
    if not callable(function) or not isinstance(cast(object, items), Iterable):
        close_unused(function)
        raise UsageError(
            "gather takes an async function and the items to call it with, not "
            f"{function!r} and {items!r}"
        )
    given = list(items)
    results: list[Any] = [None] * len(given)

    @stands_for(function)
    async def one(numbered: tuple[int, Item]) -> None:
        at, item = numbered
        made = awaitable(function(item), "gather's", function)
        try:
            results[at] = await made
        except Exception as error:
            if errors == "raise":
                raise
            results[at] = error

    async with fan_out(one, enumerate(given), limit=limit, programs=programs) as done:
        async for _ in done:
            pass
    return results
