"""start: run a program beside the code that watches it, event by event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint_if_cancelled

from weft.concurrency import TaskGroup
from weft.errors import UsageError
from weft.interrupts import must_pass
from weft.orchestrator.pool import Pool
from weft.programs.history.journal import Event, Journal
from weft.programs.history.replay import Replay
from weft.programs.runs.execution import Run, check_runnable, run
from weft.programs.runs.recorded_run import RecordedRun
from weft.programs.scope.scope import enclosing
from weft.types import Usage

T = TypeVar("T")


def start(
    program: Callable[..., Awaitable[T]],
    *args: Any,
    pool: Pool,
    journal: Journal | None = None,
    **options: Any,
) -> Running[T]:
    """Run `program(*args)` beside a block that may watch it.

        async with start(fix, issue, pool=pool) as running:
            async for event in running:
                print(event.kind, event.id)
            done = await running

    Events come as they happen. The loop over them ends with the run, and raises what the
    program raises. `await running` gives the `Run`, as `run` does. Usage, events and graph can
    be read at any time, and also after an error. Leaving the block cancels a program that still
    runs, in the engines too. An error that nobody has read by then is raised there.

    Args:
        program: an async function, usually one marked `@program`.
        *args: for the program.
        pool: the engines; the pool must be open.
        journal: as `run` takes it.
        **options: other options of `run`, and keywords for the program.

    Raises:
        UsageError: `program` is none, or `pool` no pool.
    """
    check_runnable("start", program, pool)
    journal = journal if journal is not None else Journal()
    return Running(lambda: run(program, *args, pool=pool, journal=journal, **options), journal)


class Running(RecordedRun, Generic[T]):
    """A run that `start` began: its events as they come.

    Args:
        begin: runs the program.
        journal: records it.

    Attributes:
        events: what has happened by now, in order.
        over: whether the run is over: with a value or an error, or because it was cancelled.
    """

    def __init__(self, begin: Callable[[], Awaitable[Run[T]]], journal: Journal) -> None:
        self._begin, self._journal = begin, journal
        self.events, self.over = journal.events, False
        self._done: Run[T] | None = None
        self._error: BaseException | None = None
        self._raised, self._read = False, 0
        self._tasks: TaskGroup | None = None
        self._nodes: anyio.abc.TaskGroup
        self._replay: Replay | None = None
        self._news: anyio.Event | None = None
        journal.listen(lambda event: self._wake())

    @property
    def usage(self) -> Usage:
        """What its calls have cost by now."""
        return self._journal.usage

    @property
    def differences(self) -> list[str]:
        """How its programs differed from what they declared, a sentence for each."""
        return self._journal.differences

    async def __aenter__(self) -> Running[T]:
        if self._tasks is not None:
            raise UsageError("a run starts once; call start(...) again for another one")
        outer = enclosing()
        self._replay = outer.replay if outer is not None else None
        self._tasks = TaskGroup()
        self._nodes = await self._tasks.__aenter__()
        self._nodes.start_soon(self._run)
        return self

    async def _run(self) -> None:
        try:
            with self._replay.branches(1) if self._replay is not None else nullcontext():
                self._done = await self._begin()
        except BaseException as error:
            if not isinstance(error, Exception) and must_pass(error):
                raise
            self._error = error
        finally:
            self.over = True
            self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    async def _until(self, ready: Callable[[], bool]) -> None:
        await checkpoint_if_cancelled()
        if ready():
            return
        if self._tasks is None:
            raise UsageError("a run starts with its block: `async with start(...) as running:`")
        with self._replay.branches(-1) if self._replay is not None else nullcontext():
            while not ready():
                if self._news is None:
                    self._news = anyio.Event()
                await self._news.wait()
        if self.over and self._done is None:
            # On asyncio a task that was woken just now hears later of a cancellation of both.
            await checkpoint_if_cancelled()

    def __aiter__(self) -> Running[T]:
        return self

    async def __anext__(self) -> Event:
        await self._until(lambda: self.over or self._read < len(self.events))
        if self._read < len(self.events):
            self._read += 1
            return self.events[self._read - 1]
        self._raise()
        raise StopAsyncIteration

    def __await__(self) -> Generator[Any, Any, Run[T]]:
        return self._whole().__await__()

    async def _whole(self) -> Run[T]:
        await self._until(lambda: self.over)
        self._raise()
        if self._done is None:
            raise UsageError("the run was cancelled, so it has no value")
        return self._done

    def _raise(self) -> None:
        if self._error is not None:
            self._raised = True
            raise self._error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._tasks is not None
        self._nodes.cancel_scope.cancel()
        passed = await self._tasks.__aexit__(kind, error, trace)
        if error is None and not self._raised:
            self._raise()
        return passed
