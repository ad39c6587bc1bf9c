"""Errors leave task groups as they were raised, on both event loops."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

import weft
from weft.concurrency import TaskGroup, first_error, raise_alone, until_idle
from weft.errors import UsageError


class Own(Exception):
    pass


async def fail(error: BaseException) -> None:
    raise error


async def test_what_a_task_raises_comes_out_alone() -> None:
    cause = KeyError("why")
    error = Own("first")
    error.__cause__ = cause
    with pytest.raises(Own) as caught:  # noqa: PT012
        async with TaskGroup() as tasks:
            tasks.start_soon(fail, error)
            await anyio.sleep_forever()
    assert caught.value is error
    assert error.__cause__ is cause
    assert error.__context__ is None


async def test_what_the_block_raises_comes_out_alone_though_a_task_fails_too() -> None:
    with pytest.raises(Own, match="block"):  # noqa: PT012
        async with TaskGroup() as outer, TaskGroup() as tasks:
            outer.start_soon(anyio.sleep_forever)
            tasks.start_soon(anyio.sleep_forever)
            raise Own("block")


async def test_an_error_is_not_lost_to_cancellation_around_it() -> None:
    async def late() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise Own("while leaving")

    with pytest.raises(Own, match="while leaving"), anyio.CancelScope() as scope:  # noqa: PT012
        async with TaskGroup() as tasks:
            tasks.start_soon(late)
            tasks.start_soon(anyio.sleep_forever)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()


async def test_cancellation_passes_through() -> None:
    with anyio.move_on_after(0.001) as scope:
        async with TaskGroup() as tasks:
            tasks.start_soon(anyio.sleep_forever)
            tasks.start_soon(anyio.sleep_forever)
    assert scope.cancelled_caught


async def test_a_group_that_a_task_raised_stays_one() -> None:
    theirs = ExceptionGroup("theirs", [Own("a"), Own("b")])
    with pytest.raises(ExceptionGroup) as caught:
        async with TaskGroup() as tasks:
            tasks.start_soon(fail, theirs)
    assert caught.value.exceptions == theirs.exceptions


async def test_what_ends_the_process_comes_first() -> None:
    cancelled = anyio.get_cancelled_exc_class()
    leaving = SystemExit(3)
    with pytest.raises(SystemExit):
        raise_alone(BaseExceptionGroup("", [Own("first"), leaving]))
    with pytest.raises(Own):
        raise_alone(BaseExceptionGroup("", [cancelled.__new__(cancelled), Own("first")]))


def test_the_error_to_show_is_ours_if_there_is_one() -> None:
    ours = UsageError("ours")
    assert first_error(ours) is ours
    theirs = Own("theirs")
    assert first_error(ExceptionGroup("", [theirs, ExceptionGroup("", [Own(), ours])])) is ours
    assert first_error(ExceptionGroup("", [ExceptionGroup("", [theirs, Own()])])) is theirs


def test_groups_are_unwrapped_in_one_place() -> None:
    root = Path(weft.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(
            r"except\*?\s*(Base)?ExceptionGroup|anyio\.create_task_group", path.read_text()
        )
    }
    assert found == {"concurrency.py", "simulation/simulate.py"}


async def hop(times: int, done: list[int]) -> None:
    for _ in range(times):
        await checkpoint()
    done.append(times)


async def test_settled_lets_everything_run_that_can() -> None:
    done: list[int] = []
    async with TaskGroup() as tasks:
        tasks.start_soon(anyio.sleep, 3600)
        tasks.start_soon(hop, 300, done)
        await until_idle()
        assert done == [300]
        tasks.cancel_scope.cancel()


async def test_several_settle_at_once() -> None:
    done: list[int] = []
    settled_with: list[int] = []

    async def settle() -> None:
        await until_idle()
        settled_with.append(len(done))

    async with TaskGroup() as tasks:
        for i in range(5):
            tasks.start_soon(settle)
            tasks.start_soon(hop, 10 * i, done)
    assert settled_with == [5] * 5


async def test_settled_comes_to_an_end_where_others_always_have_something_to_do() -> None:
    async with TaskGroup() as tasks:
        tasks.start_soon(hop, 10**9, [])
        await until_idle()
        tasks.cancel_scope.cancel()
