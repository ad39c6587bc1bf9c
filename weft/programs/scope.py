"""Where in which run the code is: the one context variable of weft."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from weft.errors import UsageError
from weft.orchestrator.pool import Pool, find_pool
from weft.programs.history.journal import Journal
from weft.programs.history.replay import Replay
from weft.types import Adapter

if TYPE_CHECKING:
    from weft.programs.budgets.budget import budget
    from weft.programs.history.outcome import Outcome
    from weft.programs.prompt import Prompt
    from weft.store.store import Store


Live = Callable[[str, str | None], None]
"""Told of text as it is generated: the call's id, and what it adds.

None instead of a text says that the call starts over on another engine.
"""


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
        program: the id of the run's program in the scheduler; the journal's name if empty.
        roles: which model plays a role, where it is not as in the pool.
        adapters: which adapter of its model answers for a role.
        live: told of text as it is generated.
        cache_salt: keeps the run's prefixes apart in the engines' caches.
        charge_stored: whether results from the Store count against budgets.
        hear: told of what each call generated: its Prompt, its outcome, whether it is whole.
    """

    pool: Pool
    journal: Journal
    id: str | None = None
    stage: str = ""
    siblings: int = 1
    budgets: tuple[budget, ...] = ()
    store: Store | None = None
    replay: Replay | None = None
    program: str = ""
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    adapters: Mapping[str, Adapter] = field(default_factory=dict[str, Adapter])
    live: Live | None = None
    cache_salt: str = ""
    charge_stored: bool = True
    hear: Callable[[Prompt, Outcome, bool], None] | None = None

    def model(self, role: str) -> str:
        """The name of the model that plays a role in this run.

        Raises:
            UnknownName: no such role.
        """
        return self.roles.get(role) or self.pool.model(role)

    def inside(self, id: str, stage: str | None = None, siblings: int = 1) -> Scope:
        """The same run, one level in."""
        return replace(self, id=id, stage=stage or self.stage, siblings=siblings)

    def branches(self, count: int) -> AbstractContextManager[None]:
        """Has `replay` know of so many more branches of the program for the time of a block."""
        return nullcontext() if self.replay is None else self.replay.branches(count)


_scope: ContextVar[Scope | None] = ContextVar("weft_scope", default=None)


def running() -> Scope | None:
    """The current scope, or None outside any run and pool."""
    if (scope := _scope.get()) is not None:
        return scope
    if (pool := find_pool()) is None:
        return None
    # Calls outside any run share the pool's default run.
    if not isinstance(pool.default_run, Scope):
        pool.default_run = Scope(pool, Journal(endless=True), store=pool.store)
    return pool.default_run


def enclosing() -> Scope | None:
    """The scope of the run, or of the budget, that the code is in; None outside any."""
    return _scope.get()


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
def enter(scope: Scope) -> Generator[Scope]:
    """Make `scope` the current one for the block."""
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)
