"""Where in which run the code is: the one context variable of weft."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from weft.errors import UsageError
from weft.orchestrator.open_pools import find_pool
from weft.orchestrator.pool import Pool
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program
from weft.programs.history.journal import Journal
from weft.programs.history.replay import Replay
from weft.programs.scope.declaration import NOTHING_DECLARED, Declaration
from weft.programs.scope.doing import Doing
from weft.programs.scope.left import left
from weft.programs.scope.observed import Observed
from weft.types import Adapter, Sender, Usage

if TYPE_CHECKING:
    from weft.programs.batches.sharing import BatchPlace
    from weft.programs.budgets.budget import budget
    from weft.programs.calls.checks import ResultChecks
    from weft.programs.durable.deeds import Deeds
    from weft.programs.history.outcome import Outcome
    from weft.programs.prompt import Prompt
    from weft.programs.runs.provenance import Provenance
    from weft.programs.timeouts import Timeout
    from weft.programs.watching import Monitor
    from weft.store.store import Store


Live = Callable[[str, str | None], None]
"""Told of text as it is generated: the call's id, and what it adds.

None instead of a text says that the call starts over on another engine.
"""


Settle = Callable[["Prompt", "Outcome"], Awaitable[None]]
"""Told of a call's Prompt and of its outcome."""


_sender = lru_cache(maxsize=256)(Sender)
"""The same object for the same values: calls of a stage share it."""

ANY = object()
"""Of a scope's `starts`: whatever program begins first."""


@dataclass(slots=True, eq=False)
class Scope:
    """The place of the running code in its run; never changed once it is made.

    Each node and call makes some, so it is not frozen: Python takes ten times as long to copy an
    object that is.

    Attributes:
        pool: where calls go.
        journal: what the run has done.
        id: the program, node or fan-out that the code is in; None at the top.
        stage: the name of the program or node.
        siblings: branches of `group` that run at once; 1 outside any.
        group: the fan-out that the code is in a branch of.
        provenance: which part of the run its values came from; None outside any run.
        doing: the innermost node or tool that the code is in.
        budgets: limits in force, outermost first.
        timeouts: of nodes and tools that the code is in, outermost first.
        store: results of earlier calls, if any are kept.
        replay: gives stored results back in the order in which they first came.
        program: what the scheduler counts calls to; None outside any run.
        starts: the function that the run, or the branch, was started with, until it begins:
            it is no program beside `program`. ANY is whatever program begins first.
        roles: which model plays a role, where it is not as in the pool.
        adapters: which adapter of its model answers for a role.
        live: told of text as it is generated.
        cache_salt: keeps the run's prefixes apart in the engines' caches.
        charge_stored: whether results from the Store count against budgets.
        hear: told of what each call generated: its Prompt, its outcome, whether it is whole.
        checks: is told of calls that have come to their end, and may have some made again.
        only: names of the engines that alone may run the calls; empty for any.
        settle: awaited when a call has ended, before its program goes on.
        scores: of texts, as verifiers give them; None if nobody wants to know.
        monitor: watches what calls generate, and may end an answer.
        observed: is told of calls, where the program has declared what it will do.
        deeds: what the run has done once; None in a run without an id.
        batch: which input of a batch the code works for; None outside batches.
        paid: what is spent beside calls, for who keeps what it was spent on; else None.
        branch: which branch of a run with an id the code is in; empty outside fan-outs.
    """

    pool: Pool
    journal: Journal
    id: str | None = None
    stage: str = ""
    siblings: int = 1
    group: CallGroup | None = None
    provenance: Provenance | None = None
    doing: Doing | None = None
    budgets: tuple[budget, ...] = ()
    timeouts: tuple[Timeout, ...] = ()
    store: Store | None = None
    replay: Replay | None = None
    program: Program | None = None
    starts: object = None
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    adapters: Mapping[str, Adapter] = field(default_factory=dict[str, Adapter])
    live: Live | None = None
    cache_salt: str = ""
    charge_stored: bool = True
    hear: Callable[[Prompt, Outcome, bool], None] | None = None
    checks: ResultChecks | None = None
    only: tuple[str, ...] = ()
    settle: Settle | None = None
    scores: dict[str, float] | None = None
    monitor: Monitor | None = None
    observed: Observed | None = None
    deeds: Deeds | None = None
    branch: str = ""
    batch: BatchPlace | None = None
    paid: list[dict[str, Any]] | None = None

    def model(self, role: str) -> str:
        """The name of the model that plays a role in this run.

        Raises:
            UnknownName: no such role.
        """
        return self.roles.get(role) or self.pool.model(role)

    @property
    def program_id(self) -> str:
        """The id under which the scheduler knows the program."""
        return self.program.id if self.program is not None else self.journal.name

    @property
    def sender(self) -> Sender:
        """Who asks, as engines are told."""
        own = self.program
        if own is None:
            return _sender(self.journal.name, "", "", self.stage)
        return _sender(own.id, own.parent.id if own.parent else "", own.name, self.stage)

    def occurrence(self, question: bytes, *, certain: bool, times: int = 1) -> int:
        """How often the same was asked before in this run; it is asked `times` times now.

        Args:
            question: what is asked.
            certain: whether chance has no part in the answer. Then what another input of the same
                batch asks is the same call, not another sample.
            times: how often.
        """
        if certain and self.batch is not None:
            question = b"%d\0%b" % (self.batch.number, question)
        return self.journal.occurrence(question, times)

    def but(self, **changes: Any) -> Scope:
        """The same place, but for some attributes."""
        made = Scope(*_values(self))
        for name, value in changes.items():
            setattr(made, name, value)
        return made

    def of_group(self, siblings: int, group: CallGroup) -> Scope:
        """The same place in a branch of a group."""
        return self.but(siblings=siblings, group=group)

    def spend(self, usage: Usage) -> None:
        """Count what a call cost."""
        self.journal.spend(usage)
        if self.observed is not None:
            self.observed.tokens += usage.computed

    def child(self, name: str, id: str, declares: Declaration) -> Program:
        """A program of its own that works for the one here, within its budgets.

        Args:
            name: what it is a run of.
            id: tells it from others of the same program.
            declares: what it has declared.
        """
        own = self.program
        deadline, most_calls, most_tokens = left(self.budgets)
        tenant, weight = (own.tenant, own.weight) if own is not None else ("", 1.0)
        return Program(
            f"{self.program_id}/{id}",
            name,
            tenant,
            weight,
            own.arrived if own is not None else 0.0,
            parent=own,
            group=self.group,
            deadline=deadline,
            expected_calls=declares.calls,
            expected_tokens=declares.tokens,
            most_calls=most_calls,
            most_tokens=most_tokens,
            precedence=own.precedence if own is not None else 0,
        )

    def inside(self, id: str, stage: str, doing: Doing | None) -> Scope:
        """The same run, one level in."""
        return self.but(id=id, stage=stage or self.stage, doing=doing, starts=None)

    @contextmanager
    def waiting(self, tool: str, expects: float | None = None) -> Generator[None]:
        """Tell the scheduler that the program waits for a tool for the time of a block."""
        scheduler, program = self.pool.scheduler, self.program_id
        wait, whole = scheduler.wait(program, tool, expects), False
        try:
            yield
            whole = True
        except Exception:
            whole = True
            raise
        finally:
            if wait is not None:
                scheduler.end_wait(program, wait, whole=whole)

    @contextmanager
    def as_program(
        self, name: str, id: str, declares: Declaration, *, starts: object = None
    ) -> Generator[Scope]:
        """A program of its own for the time of a block: the scope of what runs there.

        Args:
            name: what it is a run of.
            id: tells it from others of the same program.
            declares: what it has declared.
            starts: the function that it is started with, if that is still to begin.
        """
        child = self.child(name, id, declares)
        observed = None if declares is NOTHING_DECLARED else Observed(declares, child)
        with self.pool.scheduler.program(child):
            yield self.but(
                program=child,
                stage=name,
                siblings=1,
                doing=None,
                starts=starts,
                observed=observed,
            )
        if observed is not None:
            self.journal.differ(observed.end())

    def branches(self, count: int) -> AbstractContextManager[None]:
        """Has `replay` know of so many more branches of the program for the time of a block."""
        return nullcontext() if self.replay is None else self.replay.branches(count)


_values = attrgetter(*(f.name for f in fields(Scope)))


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


class enter:
    """Make a scope the current one for the block."""

    __slots__ = ("_scope", "_token")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __enter__(self) -> Scope:
        self._token: Token[Scope | None] = _scope.set(self._scope)
        return self._scope

    def __exit__(self, *_: object) -> None:
        _scope.reset(self._token)
