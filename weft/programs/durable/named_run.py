"""A run with an id: who runs it, how it goes, and how it is cancelled from elsewhere."""

from __future__ import annotations

import inspect
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast
from uuid import uuid4

import anyio

from weft.concurrency import TaskGroup
from weft.errors import RunCancelled, UsageError
from weft.programs.durable.deeds import Deeds, plain_json
from weft.programs.nodes import underlying
from weft.store.kept_runs import KeptRun, KeptRuns, RunState
from weft.store.store import Store
from weft.types import Usage

T = TypeVar("T")
BEAT = 1.0
"""Seconds between two words of a run's process that it lives, and looks at what is wanted."""

_running: set[str] = set()  # the owners of runs in this process
_DEAD = 10.0  # seconds without a word after which another machine's process counts as dead
_LONGEST = 200  # characters of an id


class NamedRun:
    """A run that is kept under an id, in the process that runs it.

    Args:
        store: where it is kept.
        id: its name; one that is known is resumed.
        program: what is run.
        args: its arguments.
        kwargs: more of them.
        usage: tells what its calls have cost so far.

    Attributes:
        deeds: what it has done once.

    Raises:
        UsageError: the id is no name, another process runs it, or it was begun as a run of
            another program or with other arguments.
        StoreError: the store can't be written.
    """

    def __init__(
        self,
        store: Store,
        id: str,
        program: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        usage: Callable[[], Usage],
    ) -> None:
        check_id(id)
        self._usage, self._said = usage, ""
        self._kept, self._id = KeptRuns(store.database), id
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        name, source, arguments = _about(program, args, kwargs)
        now = time.time()
        fresh = KeptRun(
            id, name, source, arguments, "running", now, now, now, self._owner, False, "", "",
            None, None,
        )  # fmt: skip
        while not self._kept.add(fresh):
            if (before := self._kept.get(id)) is None:
                continue
            _check_same(before, name, arguments)
            if alive(before):
                host, process, _ = before.owner.split(":")
                raise UsageError(
                    f"run {id!r} is running in process {process} on {host}; wait for it, cancel "
                    f"it (weft runs cancel {id}), or use another id"
                )
            if self._kept.take(id, self._owner, before.owner):
                break
        self.deeds = Deeds(store, self._kept, id)

    def __enter__(self) -> NamedRun:
        _running.add(self._owner)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _running.discard(self._owner)
        state: RunState = "done"
        if isinstance(error, RunCancelled):
            state = "cancelled"
        elif isinstance(error, Exception):
            state, self._said = "failed", str(error) or type(error).__name__
        elif error is not None:
            state, self._said = "stopped", ""
        usage = json.dumps(asdict(self._usage()))
        self._kept.end(self._id, state, self._said, usage, owner=self._owner)

    async def attend(self, work: Awaitable[T]) -> T:
        """Await the run's program; its value is kept.

        Raises:
            RunCancelled: another process wants it cancelled, or runs it now.
            Exception: whatever the program raises.
        """
        values: list[T] = []
        async with TaskGroup() as tasks:
            tasks.start_soon(self._beat, tasks.cancel_scope)
            values.append(await work)
            tasks.cancel_scope.cancel()
        if not values:
            raise RunCancelled(f"run {self._id!r} was cancelled, or taken over, by another process")
        self._said = _shown(values[0])
        return values[0]

    async def _beat(self, work: anyio.CancelScope) -> None:
        due = 0.0
        while True:
            # In virtual time a day of beats passes at once, and no other process sees any.
            if time.monotonic() >= due:
                due = time.monotonic() + BEAT / 2
                if self._kept.see(self._id, self._owner):
                    work.cancel()
            await anyio.sleep(BEAT)


def check_id(id: object) -> None:
    """See that an id is a name.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(id, str) or not id.strip() or len(id) > _LONGEST or not id.isprintable():
        raise UsageError(
            f"id={id!r:.80} must be a name of 1 to {_LONGEST} printable characters, such as 'bees'"
        )


def alive(run: KeptRun) -> bool:
    """Whether the process of a run lives, as far as can be told from here."""
    if run.state != "running" or not run.owner:
        return False
    host, process, _ = run.owner.split(":")
    if host == socket.gethostname():
        if int(process) == os.getpid():
            return run.owner in _running
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
    return time.time() - run.seen < _DEAD


def _about(
    program: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, str, str]:
    """The name of a program, where it stands, and its arguments as JSON."""
    name = getattr(program, "__name__", "program")
    starts = inspect.unwrap(cast(Any, underlying(program)))
    source = ""
    if inspect.isfunction(starts) and "." not in starts.__qualname__:
        file = Path(starts.__code__.co_filename)
        if file.is_file():
            source = f"{file.resolve()}:{starts.__name__}"
    given = getattr(program, "__weft_arguments__", None)
    if given is None:
        try:
            given = inspect.signature(program).bind(*args, **kwargs).arguments
        except (TypeError, ValueError):  # the call itself says what is wrong
            given = {"args": list(args), **kwargs}
    return name, source, plain_json(given, f"an argument of {name}, in a run with an id,")


def _check_same(before: KeptRun, name: str, arguments: str) -> None:
    if before.program != name:
        raise UsageError(
            f"run {before.id!r} is one of {before.program}, not of {name}; use another id"
        )
    if json.loads(before.arguments) != json.loads(arguments):
        raise UsageError(
            f"run {before.id!r} was begun with {before.arguments:.200}, not with "
            f"{arguments:.200}; give the same arguments, or use another id"
        )


def _shown(value: Any) -> str:
    try:
        return plain_json(value, "the value")
    except UsageError:
        return json.dumps(repr(value)[:1000])
