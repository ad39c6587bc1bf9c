"""run: run a program on a pool, and keep what it did."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import anyio

from weft.backends.engine import Engine
from weft.concurrency import event_loop
from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.orchestrator.programs.program import MOST_PRECEDENCE, Program
from weft.programs.budgets.budget import budget as enforce
from weft.programs.budgets.limits import Limits
from weft.programs.history.journal import Event, Journal
from weft.programs.history.replay import Replay
from weft.programs.nodes import (
    awaitable,
    check_arguments,
    check_awaited,
    close_unused,
    underlying,
)
from weft.programs.runs.provenance import Provenance
from weft.programs.runs.recorded_run import RecordedRun
from weft.programs.scope.declaration import NOTHING_DECLARED, declared
from weft.programs.scope.observed import Observed
from weft.programs.scope.scope import ANY, Live, Scope, enclosing, enter
from weft.types import Adapter, Usage

if TYPE_CHECKING:
    from weft.programs.durable.named_run import NamedRun
    from weft.store.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Run(RecordedRun, Generic[T]):
    """One execution of a program.

    Attributes:
        value: what the program returned.
        usage: tokens and calls; cancelled calls count too.
        events: what happened, in order.
        seconds: wall-clock time.
        differences: how its programs differed from what they declared, a sentence for each.
    """

    value: T
    usage: Usage
    events: list[Event]
    seconds: float
    differences: list[str] = field(default_factory=list[str])


def _within(outer: Scope, scope: Scope) -> Scope:
    """The scope of a run inside another."""
    budgets = outer.budgets
    default = outer.pool.default_run
    if isinstance(default, Scope) and outer.journal is default.journal:  # calls outside any run
        return scope.but(budgets=budgets, timeouts=outer.timeouts, group=outer.group)
    scope.journal.belong(outer.journal, outer.id)
    same = outer.store is not None and outer.pool is scope.pool and scope.store is scope.pool.store
    return scope.but(
        budgets=budgets,
        timeouts=outer.timeouts,
        group=outer.group,
        provenance=outer.provenance,
        store=outer.store if same else scope.store,
        replay=outer.replay if same or outer.store is scope.store else scope.replay,
        deeds=scope.deeds or outer.deeds,
        checks=outer.checks,
        roles=scope.roles or outer.roles,
        adapters=scope.adapters if scope.roles or scope.adapters else outer.adapters,
        live=scope.live or outer.live,
        cache_salt=scope.cache_salt or outer.cache_salt,
        charge_stored=scope.charge_stored and outer.charge_stored,
        hear=outer.hear,
        settle=outer.settle,
        scores=outer.scores,
        batch=outer.batch,
    )


async def run(
    program: Callable[..., Awaitable[T]],
    *args: Any,
    pool: Pool,
    budget: Limits | None = None,
    store: Store | None = None,
    identity: Program | None = None,
    roles: Mapping[str, str] | None = None,
    adapters: Mapping[str, Adapter] | None = None,
    live: Live | None = None,
    cache_salt: str = "",
    journal: Journal | None = None,
    charge_stored: bool = True,
    id: str | None = None,
    priority: int = 0,
    **kwargs: Any,
) -> Run[T]:
    """Run `program(*args, **kwargs)` on `pool`.

    A run inside a run is part of the outer run: the outer budgets hold, and the outer usage and
    graph include the inner run.

    Args:
        program: an async function, usually one marked `@program`.
        *args: for the program.
        pool: the engines; the pool must be open.
        budget: limits on the whole run.
        store: keeps results of calls; the pool's store by default. If the store knows this run
            already, results come back in the order in which they first came, and nothing is
            paid twice.
        identity: the program to which the scheduler counts the run's calls, such as an agent's
            program. This program goes on after the run. By default the run is a program of its
            own.
        roles: which model plays a role in this run; the pool says so for all other roles.
        adapters: which adapter (LoRA) of its model answers for a role; the model itself by default.
        live: a function that is told text as it is generated.
        cache_salt: keeps the run's prefixes apart from others in the engines' caches.
        journal: records what happens; give one to read events while the program runs.
        charge_stored: whether results from the store count against budgets as when they were
            made, so that a rerun takes the same course. With False only new calls count.
        id: the run's name in the store, under which the run is listed, resumed, forked and
            cancelled (`weft runs`). Functions marked `@once`, people's answers and waits are
            kept under it. A run whose id is known goes on where it was.
        priority: runs with a lower number go before others, in weft's queues and in engines
            that schedule by priority; from -1000 to 1000. A run inside a run has that of the
            outer one.
        **kwargs: for the program.

    Raises:
        BudgetExceeded: the budget was used up, and the program did not catch the error.
        UsageError: the run of this id has another program or other arguments, or is running.
        RunChanged: the program does not do any more what the run of this id did.
        RunCancelled: another process has cancelled the run.
        Exception: whatever the program raises.
    """
    check_runnable("run", program, pool)
    journal = journal if journal is not None else Journal()
    store = store if store is not None else pool.store
    if isinstance(cast(object, store), str):
        raise UsageError(f"store={store!r} must be a Store, such as Store({store!r})")
    limits = enforce(budget) if budget is not None else nullcontext()
    starts = underlying(program)
    name: str = getattr(starts, "__name__", "")
    called: str = getattr(program, "__name__", name)  # by which its results are kept
    declares = declared(starts)
    named: NamedRun | None = None
    if id is not None:
        named = _named(store, id, program, args, kwargs, journal)
    scope = Scope(
        pool,
        journal,
        stage=name,
        store=store,
        replay=_replay(store, journal, called, id),
        starts=starts if identity is None else ANY,
        provenance=Provenance(),
        roles=roles or {},
        adapters=adapters or {},
        live=live,
        cache_salt=cache_salt,
        charge_stored=charge_stored,
        deeds=named.deeds if named is not None else None,
    )
    outer, waiting = enclosing(), nullcontext()
    observed: Observed | None = None
    if outer is not None:
        scope = _within(outer, scope)
    if identity is not None:
        known = nullcontext(pool.scheduler.begin(identity))
    elif outer is None or outer.pool is not pool:
        known = pool.scheduler.program(
            Program(
                journal.name,
                name,
                expected_calls=declares.calls,
                expected_tokens=declares.tokens,
                precedence=check_priority(priority),
            )
        )
    else:
        known = pool.scheduler.program(outer.child(name, journal.name, declares))
        waiting = outer.waiting(name or "run")
    spans: AbstractContextManager[None] = nullcontext()
    if "opentelemetry.sdk.trace" in sys.modules and journal.outer is None:
        from weft.programs.runs.traced import traced  # only processes that want spans need it

        spans = traced(journal, name or "run")
    with spans, named or nullcontext(), waiting, known as own:
        if declares is not NOTHING_DECLARED and identity is None:
            observed = Observed(declares, own)
        with enter(scope.but(program=own, observed=observed)), limits:
            try:
                made = awaitable(program(*args, **kwargs), "run's", program)
                value = await (made if named is None else named.attend(made))
            except TypeError:
                check_arguments(program, args, kwargs)
                raise
            check_awaited(value, called)
    if observed is not None:
        journal.differ(observed.end())
    seconds = anyio.current_time() - journal.started
    return Run(value, journal.usage, journal.events, seconds, journal.differences)


def _replay(store: Store | None, journal: Journal, called: str, id: str | None) -> Replay | None:
    if store is None:
        return None
    return Replay(store, journal.name if id is None else f"run:{id}", called, named=id is not None)


def _named(
    store: Store | None,
    id: str,
    program: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    journal: Journal,
) -> NamedRun:
    from weft.programs.durable.named_run import NamedRun  # brings a database's library

    if store is None:
        raise UsageError(f"a run with an id needs a store: run(..., store=Store(FILE), id={id!r})")
    return NamedRun(store, id, program, args, kwargs, lambda: journal.usage)


def check_priority(given: int) -> int:
    """A priority, if it is one.

    Raises:
        UsageError: it is no whole number within the bounds.
    """
    if isinstance(given, bool) or not isinstance(cast(object, given), int):
        raise UsageError(f"priority={given!r} must be a whole number")
    if abs(given) > MOST_PRECEDENCE:
        raise UsageError(f"priority={given} must be from -{MOST_PRECEDENCE} to {MOST_PRECEDENCE}")
    return given


def check_runnable(verb: str, program: object, pool: object) -> None:
    """Check what is to be run, and where.

    Raises:
        UsageError: it is no program, or there is no pool.
    """
    if not callable(program):
        close_unused(program)
        raise UsageError(
            f"{verb} takes a program and its arguments apart: {verb}(program, argument, pool=...); "
            f"not {program!r}"
        )
    if not isinstance(pool, Pool):
        raise UsageError(f"{verb} needs an open Pool, not pool={pool!r}; or use run_sync")


def run_sync(
    program: Callable[..., Awaitable[T]],
    *args: Any,
    pool: Pool | Engine | str,
    backend: str = "asyncio",
    **options: Any,
) -> Run[T]:
    """Run a program from code that is not async: open the pool, run, and close the pool.

    If an event loop runs already, as in a notebook, the program gets a thread and an event loop
    of its own, and the caller waits.

    Args:
        program: an async function, usually one marked `@program`.
        *args: for the program.
        pool: a pool that is not open, an engine, or an engine's spec.
        backend: the event loop: `asyncio` or `trio`.
        **options: the options of `run`.

    Raises:
        UsageError: the pool is open; use `await run(...)` there.
        Exception: whatever `run` raises.
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
