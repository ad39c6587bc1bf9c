"""run: run a program on a pool, and keep what it did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio

from weft.backends.engine import Engine
from weft.errors import UsageError
from weft.orchestrator.hosted import event_loop
from weft.orchestrator.pool import Pool
from weft.orchestrator.program import Program
from weft.programs.budget import Limits
from weft.programs.budget import budget as enforce
from weft.programs.journal import Event, Journal
from weft.programs.replay import Replay
from weft.programs.scope import Live, Scope, enclosing, entered
from weft.types import Usage

if TYPE_CHECKING:
    import networkx as nx

    from weft.store.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Run(Generic[T]):
    """One execution of a program.

    Attributes:
        value: what the program returned.
        usage: tokens and calls, those of cancelled calls included.
        events: what happened, in order.
        seconds: wall-clock time.
    """

    value: T
    usage: Usage
    events: list[Event]
    seconds: float

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """Programs, nodes, fan-outs and calls, with data and prefix edges."""
        from weft.programs.graph import graph_of  # networkx takes a while to import

        return graph_of(self.events)

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        from weft.programs.graph import mermaid

        return mermaid(self.graph)


def _program(id: str, name: str, budget: Limits | None) -> Program:
    """The run as the scheduler sees it; its budget bounds the work that is left."""
    if budget is None:
        return Program(id, name)
    deadline = anyio.current_time() + budget.seconds if budget.seconds is not None else None
    return Program(id, name, deadline=deadline, most_calls=budget.calls, most_tokens=budget.tokens)


def _within(outer: Scope, scope: Scope) -> Scope:
    """The scope of a run inside another."""
    budgets = outer.budgets
    default = outer.pool.default_run
    if isinstance(default, Scope) and outer.journal is default.journal:  # calls outside any run
        return replace(scope, budgets=budgets)
    scope.journal.belong(outer.journal, outer.id)
    same = outer.store is not None and outer.pool is scope.pool and scope.store is scope.pool.store
    return replace(
        scope,
        budgets=budgets,
        store=outer.store if same else scope.store,
        replay=outer.replay if same or outer.store is scope.store else scope.replay,
        roles=scope.roles or outer.roles,
        live=scope.live or outer.live,
        cache_salt=scope.cache_salt or outer.cache_salt,
        charge_stored=scope.charge_stored and outer.charge_stored,
        hear=outer.hear,
    )


async def run(
    program: Callable[..., Awaitable[T]],
    *args: Any,
    pool: Pool,
    budget: Limits | None = None,
    store: Store | None = None,
    identity: Program | None = None,
    roles: Mapping[str, str] | None = None,
    live: Live | None = None,
    cache_salt: str = "",
    journal: Journal | None = None,
    charge_stored: bool = True,
    **kwargs: Any,
) -> Run[T]:
    """Run `program(*args, **kwargs)` on `pool`.

    Args:
        program: an async function, usually one marked `@program`.
        *args: for the program.
        pool: the engines, inside its `async with` block.
        budget: limits on the whole run.
        store: results of calls; the pool's store if none is given. With a store that knows
            this run already, stored results come back in the order in which they first came,
            and nothing is paid twice.
        identity: the program that the scheduler is to count its calls to, such as that of an
            agent; it goes on after the run. A program of its own if left out.
        roles: which model plays a role, where it is not as in the pool.
        live: told of text as it is generated.
        cache_salt: keeps its prefixes apart from others in the engines' caches.
        journal: takes what happens; for those who want to hear of it meanwhile.
        charge_stored: whether results from the store count against budgets as they did when
            they were made, so that a rerun takes the same course; False has budgets bound
            only what is paid anew.
        **kwargs: for the program.

    A run inside a run is under its budgets, and counts in its usage and its graph.

    Raises:
        BudgetExceeded: the budget was used up and the program did not catch it.
        Exception: whatever the program raises.
    """
    journal = journal if journal is not None else Journal()
    store = store if store is not None else pool.store
    limits = enforce(budget) if budget is not None else nullcontext()
    name = getattr(program, "__name__", "")
    scope = Scope(
        pool,
        journal,
        stage=name,
        store=store,
        replay=Replay(store, journal.name) if store is not None else None,
        program=identity.id if identity is not None else "",
        roles=roles or {},
        live=live,
        cache_salt=cache_salt,
        charge_stored=charge_stored,
    )
    if (outer := enclosing()) is not None:
        scope = _within(outer, scope)
    if identity is not None:
        known = nullcontext(pool.scheduler.begin(identity))
    else:
        known = pool.scheduler.program(_program(journal.name, name, budget))
    with entered(scope), limits, known:
        value = await program(*args, **kwargs)
    seconds = anyio.current_time() - journal.started
    return Run(value, journal.usage, journal.events, seconds)


def run_sync(
    program: Callable[..., Awaitable[T]],
    *args: Any,
    pool: Pool | Engine | str,
    backend: str = "asyncio",
    **options: Any,
) -> Run[T]:
    """Run a program from code that is not async: opens the pool, runs, and closes the pool.

    Where an event loop runs already, as in a notebook, the program gets a thread and a loop of
    its own; the caller waits.

    Args:
        program: an async function, usually one marked `@program`.
        *args: for the program.
        pool: the engines; a pool that is not open, or one engine or spec of one.
        backend: the event loop: `asyncio` or `trio`.
        **options: as those of `run`.

    Raises:
        UsageError: the pool is open; use `await run(...)` there.
        Exception: as `run` does.
    """
    engines = pool if isinstance(pool, Pool) else Pool(pool)
    if engines.is_open:
        raise UsageError("run_sync opens and closes the pool; use `await run(...)` in an open one")

    async def whole() -> Run[T]:
        async with engines:
            return await run(program, *args, pool=engines, **options)

    if event_loop() is None:
        return anyio.run(whole, backend=backend)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: anyio.run(whole, backend=backend)).result()
