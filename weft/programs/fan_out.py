"""fan_out: one node on many items, results as they finish, losers cancelled."""

from __future__ import annotations

import inspect
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint_if_cancelled

from weft.concurrency import TaskGroup, now
from weft.errors import BudgetExceeded, UsageError
from weft.interrupts import must_pass
from weft.orchestrator.programs.group import CallGroup
from weft.programs.history.replay import Replay
from weft.programs.nodes import awaitable, close_unused, underlying
from weft.programs.scope import Scope, current, enter
from weft.programs.scope.declaration import declared

Item = TypeVar("Item")
T = TypeVar("T")


class fan_out(Generic[Item, T]):
    """Run `node` on every item at once. The scheduler hears the width before any node starts.

        async with fan_out(attempt, prompts) as answers:
            async for answer in answers:
                if good(answer):
                    return answer

    Results come in the order in which nodes finish. Leaving the block cancels what still runs,
    in the engines too. The first error of a node is raised where the results are read, and
    cancels the rest. `BudgetExceeded` is different: it is raised when all results that the
    budget still allowed have been read.

    A fan-out may grow while it runs, as crawlers and tree searches do. It is over when no node
    runs and nothing was added:

        async with fan_out(expand, [root]) as found:
            async for leaf in found:
                found.add(*best(leaf))

    Args:
        node: an async function of one item.
        items: the inputs, one for each node; may be empty.
        limit: how many nodes run at once; None runs all.
        quorum: how many results are enough; no more are read then. The scheduler hears of it.
            A block that finds a result useless may raise `fan_out.quorum` by one.
        programs: whether each node is a program of its own to the scheduler, such as a
            sub-agent: with a context, a place and a claim of its own. Budgets, usage and graph
            stay those of the program around.

    Raises:
        UsageError: `limit` or `quorum` is below 1; or results are read outside the block.
    """

    def __init__(
        self,
        node: Callable[[Item], Awaitable[T]],
        items: Iterable[Item],
        *,
        limit: int | None = None,
        quorum: int | None = None,
        programs: bool = False,
    ) -> None:
        for name, number in (("limit", limit), ("quorum", quorum)):
            if number is not None and type(number) is not int:
                raise UsageError(f"fan_out {name}={number!r} must be a whole number")
            if number is not None and number < 1:
                raise UsageError(f"fan_out {name}={number} must be at least 1")
        if not callable(node) or not isinstance(cast(object, items), Iterable):
            close_unused(node)
            raise UsageError(
                "fan_out takes an async function and the items to call it with, not "
                f"{node!r} and {items!r}"
            )
        if isinstance(items, str):
            raise UsageError(f"fan_out takes a list of items, not one text: {items!r:.60}")
        self._node, self._items, self._limit = node, list(items), limit
        if self._items and inspect.iscoroutine(self._items[0]):
            for item in self._items:
                close_unused(item)
            raise UsageError(
                "fan_out calls the function itself: give the items, not calls of it that nobody "
                "awaits, as in fan_out(attempt, prompts)"
            )
        self._over: BudgetExceeded | None = None
        self._left = self._announced = width = len(self._items)
        self._enough = quorum
        self._group = CallGroup(width, width if quorum is None else min(quorum, width))
        self._inside: Scope | None = None
        """Of the branches, for the time of the block."""
        self._branches: Iterator[str] = itertools.repeat("")
        """The names that their deeds are kept by, in a run with an id."""
        self._programs, self._read, self._entered = programs, 0, False
        self._waiting: AbstractContextManager[None] = nullcontext()
        self._tasks: TaskGroup
        self._nodes: anyio.abc.TaskGroup
        self._replay: Replay | None = None
        self._counts: Replay | None = None
        """Is told of branches, where their node does not do so itself."""
        self._results: deque[tuple[T | None, BaseException | None]] = deque()
        self._arrived: anyio.Event | None = None

    @property
    def width(self) -> int:
        """How many items there are by now."""
        return self._group.width

    @property
    def quorum(self) -> int:
        """How many results are enough."""
        return self._group.quorum

    @quorum.setter
    def quorum(self, results: int) -> None:
        self._enough = results
        self._group.quorum = min(results, self.width)

    def add(self, *items: Item) -> None:
        """Run the node on further items. The scheduler hears of the new width.

        Raises:
            UsageError: the block was not entered, or was left.
        """
        if self._inside is None:
            raise UsageError(f"fan_out.add {_WITHIN}")
        group = self._group
        group.width += len(items)
        group.quorum = group.width if self._enough is None else min(self._enough, group.width)
        self._left += len(items)
        self._begin(self._inside, items)

    def _begin(self, inside: Scope, items: Iterable[Item]) -> None:
        group = self._group
        at_once = group.width - group.ended
        if self._limit is not None:
            at_once = min(self._limit, at_once)
        inside = inside.of_group(max(1, at_once), group)
        for item, branch in zip(items, self._branches, strict=False):
            with enter(inside.but(branch=branch) if branch else inside):
                self._nodes.start_soon(self._run, self._node, item)

    async def __aenter__(self) -> fan_out[Item, T]:
        if self._entered:
            raise UsageError("a fan_out runs once; make another one for another block")
        scope, self._entered = current(), True
        named = underlying(self._node)
        name = getattr(named, "__name__", None)
        uses = scope.provenance.behind(self._items) if scope.provenance is not None else []
        id = scope.journal.begin("fan_out", scope.id, width=self.width, name=name, uses=uses)
        self._journal, self._id = scope.journal, id
        self._replay, node = scope.replay, self._node
        self._counts = self._replay
        if self._replay is not None and (self._programs or self._limit is not None):
            node, self._counts = _counted(node, self._replay), None
        if self._programs:
            node = _as_programs(node, name or scope.stage, id, named)
            self._waiting = scope.waiting(name or "fan_out")
        if self._limit is not None:
            node = _limited(node, anyio.Semaphore(self._limit))
        self._node, items, self._items = node, self._items, []
        self._group.outer = scope.group
        self._waiting.__enter__()
        self._tasks = TaskGroup()
        self._nodes = await self._tasks.__aenter__()
        if scope.deeds is not None:
            self._branches = scope.deeds.branches(scope.branch)
        self._inside = scope.inside(id, name or "", scope.doing)
        self._begin(self._inside, items)
        return self

    async def _run(self, node: Callable[[Item], Awaitable[T]], item: Item) -> None:
        try:
            if (counts := self._counts) is None:
                value = await awaitable(node(item), "fan_out's", node)
            else:  # without an object more: of many items each counts
                counts.note_branches(1)
                try:
                    value = await awaitable(node(item), "fan_out's", node)
                finally:
                    counts.note_branches(-1)
            self._results.append((value, None))
        except BaseException as error:
            if not isinstance(error, Exception) and must_pass(error):
                raise
            # What a branch raises is raised in the block: beyond a task, `SystemExit` would end
            # the event loop and all that runs in it.
            self._results.append((None, error))
        self._group.ended += 1
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None

    def __aiter__(self) -> fan_out[Item, T]:
        return self

    async def __anext__(self) -> T:
        if self._inside is None:
            raise UsageError(f"reading a fan_out {_WITHIN}")
        while self._left and self._read < self._group.quorum:
            if self._results:
                await checkpoint_if_cancelled()
            elif self._replay is None:
                await self._arrival()
            else:
                with self._replay.branches(-1):
                    await self._arrival()
            value, error = self._results.popleft()
            self._left -= 1
            if error is None:
                self._read += 1
                return cast("T", value)  # which may itself be optional
            if not isinstance(error, BudgetExceeded):
                raise error
            self._over = error
        if self._over is not None and self._read < self._group.quorum:
            over, self._over = self._over, None
            raise over
        raise StopAsyncIteration

    async def _arrival(self) -> None:
        while not self._results:
            if self._arrived is None:
                self._arrived = anyio.Event()
            await self._arrived.wait()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        left, settled = now() - self._journal.started, self._group.ended
        more: dict[str, Any] = {"width": self.width} if self.width > self._announced else {}
        self._inside = None
        self._nodes.cancel_scope.cancel()
        try:
            # Nodes' errors are among the results, so only the block's own can come out of it.
            return await self._tasks.__aexit__(kind, error, trace)
        finally:
            self._waiting.__exit__(None, None, None)
            if error is None:  # with all results, or with enough for the program
                self._journal.note("done", self._id, ended=settled, left=left, **more)
            else:
                failed = isinstance(error, Exception) and not isinstance(error, BudgetExceeded)
                if failed:
                    more["error"] = repr(error)
                became = "failed" if failed else "cancelled"
                self._journal.note(became, self._id, ended=settled, **more)


_WITHIN = "belongs within its block: `async with fan_out(...) as results:`"


def _counted(
    node: Callable[[Item], Awaitable[T]], replay: Replay
) -> Callable[[Item], Awaitable[T]]:
    async def counted(item: Item) -> T:
        with replay.branches(1):
            return await awaitable(node(item), "fan_out's", node)

    return counted


def _as_programs(
    node: Callable[[Item], Awaitable[T]], name: str, fan_out: str, starts: object
) -> Callable[[Item], Awaitable[T]]:
    numbers = itertools.count(1)

    async def as_program(item: Item) -> T:
        id = f"{fan_out}.{next(numbers)}"
        declares = declared(starts)
        with current().as_program(name, id, declares, starts=starts) as inside, enter(inside):
            return await awaitable(node(item), "fan_out's", node)

    return as_program


def _limited(
    node: Callable[[Item], Awaitable[T]], limiter: anyio.Semaphore
) -> Callable[[Item], Awaitable[T]]:
    async def limited(item: Item) -> T:
        async with limiter:
            return await awaitable(node(item), "fan_out's", node)

    return limited
