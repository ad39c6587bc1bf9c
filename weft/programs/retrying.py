"""Parts of a program that are run again when they fail."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import anyio

from weft.backends.retry import Retry, Waits
from weft.concurrency import now
from weft.errors import BudgetExceeded, RunCancelled, StoreError, UsageError
from weft.programs.scope import Scope, running

P = ParamSpec("P")
T = TypeVar("T")

_FINAL = UsageError, StoreError, RunCancelled
"""Errors that another attempt would meet again."""


def retried(
    function: Callable[P, Awaitable[T]], retry: Retry
) -> Callable[P, Coroutine[Any, Any, T]]:
    """A function that is run again when it fails, in the same place of the same run.

    Each attempt asks anew, and what each spends counts. What an attempt has done once in a run
    with an id stays done: the next one finds it.

    Args:
        function: async.
        retry: how often, and after which waits.
    """

    @functools.wraps(function)
    async def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        inspect.signature(function).bind(*args, **kwargs)  # wrong arguments stay wrong
        scope = running()
        deeds = scope.deeds if scope is not None else None
        before = deeds.mark(scope.branch) if scope is not None and deeds is not None else None
        waits: Waits | None = None
        while True:
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                if isinstance(error, _FINAL) or (scope is not None and used_up(error, scope)):
                    raise
                waits = waits or Waits(retry, now())
                wait, again = waits.next(now(), getattr(error, "retry_after", None))
                if not again:
                    raise
            await anyio.sleep(wait)
            if deeds is not None and before is not None:
                deeds.reset(before)

    return tried


def used_up(error: Exception, scope: Scope) -> bool:
    """Whether it is a budget around a part of a program that is used up, and none within it."""
    return isinstance(error, BudgetExceeded) and any(
        getattr(b.limits, error.resource, None) == error.limit for b in scope.budgets
    )
