"""Where in which run the code is: the one context variable of weft."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from weft.cache.store import Store
from weft.errors import UsageError
from weft.orchestrator.pool import Pool, current_pool
from weft.programs.journal import Journal
from weft.programs.replay import Replay

if TYPE_CHECKING:
    from weft.programs.budget import budget


@dataclass(frozen=True, slots=True)
class Scope:
    """The place of the running code in its run.

    Attributes:
        pool: where calls go.
        journal: what the run has done.
        id: the program, node or fan-out that the code is in; None at the top.
        stage: the name of the program or node.
        siblings: the width of the fan-out that the code is in, 1 outside any.
        budgets: limits in force, outermost first.
        store: results of earlier calls, if any are kept.
        replay: gives stored results back in the order in which they first came.
    """

    pool: Pool
    journal: Journal
    id: str | None = None
    stage: str = ""
    siblings: int = 1
    budgets: tuple[budget, ...] = ()
    store: Store | None = None
    replay: Replay | None = None

    def inside(self, id: str, stage: str | None = None, siblings: int = 1) -> Scope:
        """The same run, one level in."""
        return replace(self, id=id, stage=stage or self.stage, siblings=siblings)


_scope: ContextVar[Scope | None] = ContextVar("weft_scope", default=None)


def running() -> Scope | None:
    """The current scope, or None outside any run and pool."""
    if (scope := _scope.get()) is not None:
        return scope
    if (pool := current_pool.get()) is None:
        return None
    # Calls outside any run share the pool's default run.
    if not isinstance(pool.default_run, Scope):
        pool.default_run = Scope(pool, Journal(), store=pool.store)
    return pool.default_run


def current() -> Scope:
    """The current scope.

    Raises:
        UsageError: the code runs outside any run and any pool.
    """
    if (scope := running()) is None:
        raise UsageError(
            "no engines to call here; use `await run(program, ..., pool=pool)` or "
            "`async with Pool(...):` around the call"
        )
    return scope


@contextmanager
def entered(scope: Scope) -> Generator[Scope]:
    """Make `scope` the current one for the block."""
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)
