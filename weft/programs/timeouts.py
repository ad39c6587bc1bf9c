"""Timeouts: how long a part of a program may take."""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, NoReturn, ParamSpec, TypeVar

import anyio

from weft.errors import TimedOut, UsageError
from weft.programs.scope import Scope, enter, running

P = ParamSpec("P")
T = TypeVar("T")


class Timeout:
    """Limit how long a block may take. What runs in it then is cancelled, in the engines too.

        with Timeout("look_up", 20):
            found = await look_up(query)

    Timeouts and budgets of seconds nest, and what ends first is raised. In a run that is begun
    again, a call that the timeout ended is not made again if the run went on behind it: the
    timeout ends the block at once.
    What comes from the Store else takes no time of it.

    Args:
        name: of what may take so long.
        seconds: that it may take.

    Attributes:
        seconds: the same.
        around: when the first timeout around it ends that is neither weft's nor a budget's.

    Raises:
        TimedOut: the block took longer.
        BudgetExceeded: a budget around it, whose time was up before.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self.seconds = name, seconds
        self.around: float | None = None
        self._time = anyio.CancelScope()
        self._scope: Scope | None = None
        self._entered: AbstractContextManager[object] = nullcontext()

    @property
    def deadline(self) -> float:
        """When it ends, on anyio's clock."""
        return self._time.deadline

    @property
    def over(self) -> bool:
        """Whether it has ended what runs in it."""
        return self._time.cancel_called

    def end(self) -> None:
        """End what runs in it, as though the time were up."""
        self._time.deadline = -math.inf
        self._time.cancel()

    def __enter__(self) -> Timeout:
        self._scope = scope = running()
        self._time.deadline = anyio.current_time() + self.seconds
        if scope is not None:
            from weft.programs.budgets.budget import timeout

            self.around = timeout(scope)
            self._entered = enter(scope.but(timeouts=(*scope.timeouts, self)))
        self._time.__enter__()
        self._entered.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._entered.__exit__(None, None, None)
        ends = self._time.deadline
        swallowed = self._time.__exit__(kind, error, trace)
        if self._time.cancelled_caught:
            if self._scope is not None:
                from weft.programs.budgets.budget import first_over

                if (over := first_over(self._scope.budgets, ends)) is not None:
                    raise over.out_of_time()
            raise TimedOut(self._name, self.seconds) from None
        return swallowed


def bounded(
    function: Callable[P, Awaitable[T]], seconds: float, name: str
) -> Callable[P, Coroutine[Any, Any, T]]:
    """A function that may take so long.

    Args:
        function: async.
        seconds: each time.
        name: for the error.
    """

    @functools.wraps(function)
    async def in_time(*args: P.args, **kwargs: P.kwargs) -> T:
        with Timeout(name, seconds):
            return await function(*args, **kwargs)
        raise AssertionError  # the block returns or raises

    return in_time


def ending(timeouts: Iterable[Timeout]) -> Timeout | None:
    """The timeout, if any, that has ended what runs in it; the outermost of several."""
    return next((one for one in timeouts if one.over), None)


def ending_again(timeouts: Iterable[Timeout], seconds: float) -> Timeout | None:
    """The timeout, if any, that ended a call the first time and would do so no later now.

    Args:
        timeouts: that the call is in, outermost first.
        seconds: of the timeout that ended it.
    """
    fitting = [one for one in timeouts if one.seconds <= seconds]
    return max(fitting, key=lambda one: one.seconds, default=None)


async def end_again(timeouts: Iterable[Timeout], seconds: float) -> NoReturn:
    """End the block of a timeout that a call is in, as it ended the call the first time."""
    again = ending_again(timeouts, seconds)
    assert again is not None
    again.end()
    while True:
        await anyio.sleep_forever()


def check_seconds(what: str, name: str, seconds: Any) -> None:
    """Check a number of seconds.

    Args:
        what: it is for, in messages.
        name: of the setting.
        seconds: None is no limit.

    Raises:
        UsageError: it is no number above 0.
    """
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (number and 0 < seconds < math.inf):
        raise UsageError(f"{what}: {name}={seconds!r} must be a number of seconds above 0")
