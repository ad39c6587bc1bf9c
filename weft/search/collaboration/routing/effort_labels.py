"""Labels for a router of efforts: the least effort that does each step of a trajectory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from operator import eq
from typing import Any, TypeVar

from weft.programs import fan_out
from weft.search.answers.failures import NO_RESULT

S = TypeVar("S")
A = TypeVar("A")


async def lowest_efforts(
    steps: Sequence[tuple[S, A]],
    act: Callable[[S, str], Awaitable[A]],
    levels: Sequence[str] = ("low", "medium", "high"),
    *,
    tries: int = 3,
    same: Callable[[A, A], bool] = eq,
) -> list[str]:
    """The least effort that does each step of a trajectory again (Ares, 2026).

    The trajectory should be the shortest of those that succeeded with the highest effort. Each
    step is tried with one level after another, from the lowest on, until most tries act as the
    trajectory did. A step that no level does again gets the highest. An attempt whose calls fail,
    or are refused by a budget, does not act so.

    Args:
        steps: of each, the state before it and the action taken.
        act: acts in a state, with an effort.
        levels: efforts, the lowest first.
        tries: how often a step is tried with each level.
        same: whether two actions are the same.

    Returns:
        for each step its level, in order.
    """

    async def label(at: int) -> tuple[int, str]:
        state, action = steps[at]
        for level in levels[:-1]:
            if 2 * await _again(act, state, action, level, tries, same) > tries:
                return at, level
        return at, levels[-1]

    found: dict[int, str] = {}
    async with fan_out(label, range(len(steps))) as labels:
        async for at, level in labels:
            found[at] = level
    return [found[at] for at in range(len(steps))]


async def _again(
    act: Callable[[Any, str], Awaitable[Any]],
    state: Any,
    action: Any,
    level: str,
    tries: int,
    same: Callable[[Any, Any], bool],
) -> int:
    """How many tries act as the trajectory did."""

    async def attempt(_: int) -> bool:
        try:
            return bool(same(await act(state, level), action))
        except NO_RESULT:
            return False

    count = 0
    async with fan_out(attempt, range(tries)) as results:
        async for did in results:
            count += did
    return count
