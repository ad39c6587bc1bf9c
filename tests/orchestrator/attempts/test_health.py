"""Health: who is out of service, when, and for how long."""

from __future__ import annotations

import anyio
import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.attempts.health import Fault
from weft.orchestrator.policies.spread import RoundRobin
from weft.orchestrator.scheduler import Scheduler


class Ill(ScriptedEngine):
    """An engine that is as well as it is told to be, and counts the questions."""

    def __init__(self, model: str = "scripted") -> None:
        super().__init__("yes", model=model)
        self.well, self.asked = True, 0
        self.answer: anyio.Event | None = None
        self.doubted = anyio.Event()  # it was not well twice
        self._no = 0

    async def healthy(self) -> bool:
        self.asked += 1
        if self.answer is not None:
            await self.answer.wait()
        self._no += not self.well
        if self._no > 1:
            self.doubted.set()
        return self.well


DEAD = EngineUnavailable("it hung up")


def scheduler_of(*engines: Ill, check: float | None = None) -> Scheduler:
    return Scheduler(engines, RoundRobin(), check=check)


async def test_an_engine_that_is_well_stays(anyio_backend: str) -> None:
    scheduler = scheduler_of(engine := Ill())
    (replica,) = scheduler.replicas
    assert not await scheduler.check(replica, DEAD)
    assert (replica.alive, engine.asked) == (True, 1)


async def test_one_that_is_not_well_is_taken_out(anyio_backend: str) -> None:
    scheduler = scheduler_of(engine := Ill())
    engine.well = False
    (replica,) = scheduler.replicas
    assert await scheduler.check(replica, DEAD)
    assert not replica.alive
    assert replica.error is DEAD
    assert await scheduler.check(replica, DEAD)
    assert engine.asked == 1, "one that is out is not asked"


async def test_calls_that_fail_together_ask_once(anyio_backend: str) -> None:
    scheduler = scheduler_of(engine := Ill())
    (replica,) = scheduler.replicas
    engine.answer, found = anyio.Event(), list[bool]()

    async def fail() -> None:
        found.append(await scheduler.check(replica, DEAD))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(fail)
        await anyio.wait_all_tasks_blocked()
        assert engine.asked == 1
        engine.answer.set()
    assert found == [False] * 3
    assert engine.asked == 1


async def test_a_question_that_is_cancelled_leaves_the_next_to_ask(anyio_backend: str) -> None:
    scheduler = scheduler_of(engine := Ill())
    (replica,) = scheduler.replicas
    engine.answer = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler.check, replica, DEAD)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    engine.answer = None
    assert not await scheduler.check(replica, DEAD)
    assert engine.asked == 2


async def test_one_at_fault_rests_after_three_calls_in_a_row(anyio_backend: str) -> None:
    scheduler = scheduler_of(Ill(), Ill())
    first, _ = scheduler.replicas
    for n in range(2):
        scheduler.health.note_fault(Fault(first, n, n + 0.5))
    scheduler.health.note_success(first)
    for n in range(1, 4):
        assert first.alive
        scheduler.health.note_fault(Fault(first, n, n + 0.5))
        assert first.alive is (n < 3)
    assert "failed 3 times in a row at calls that others served" in str(first.error)


async def test_calls_that_fail_together_are_one_fault(anyio_backend: str) -> None:
    scheduler = scheduler_of(Ill(), Ill())
    first, _ = scheduler.replicas
    for begun in (0.0, 1.0, 2.0):
        assert first.alive
        for n in range(9):
            scheduler.health.note_fault(Fault(first, begun, begun + 0.5 + n / 100))
    assert not first.alive


async def test_one_that_rests_is_back_at_once_when_no_other_is_left(anyio_backend: str) -> None:
    scheduler = scheduler_of(Ill(), other := Ill())
    first, second = scheduler.replicas
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler.watch, 100.0)
        await anyio.wait_all_tasks_blocked()
        for n in range(3):
            scheduler.health.note_fault(Fault(first, n, n + 0.5))
        await anyio.wait_all_tasks_blocked()
        assert not first.alive
        other.well = False
        assert await scheduler.check(second, DEAD)
        await scheduler.await_engine("scripted")
        assert [first.alive, second.alive] == [True, False]
        group.cancel_scope.cancel()


async def test_the_last_of_a_model_never_rests(anyio_backend: str) -> None:
    scheduler = scheduler_of(Ill(), Ill("other"))
    first, _ = scheduler.replicas
    for n in range(9):
        scheduler.health.note_fault(Fault(first, n, n + 0.5))
    assert first.alive


@pytest.mark.parametrize("check", [None, 0.001])
async def test_one_that_answers_again_comes_back(anyio_backend: str, check: float | None) -> None:
    scheduler = scheduler_of(engine := Ill(), check=check)
    (replica,) = scheduler.replicas
    engine.well = False
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler.watch, 0.001)
        await anyio.wait_all_tasks_blocked()
        if check is None:
            assert await scheduler.check(replica, DEAD)
        await engine.doubted.wait()  # asked by itself, if it was not by a call
        await anyio.wait_all_tasks_blocked()
        assert not replica.alive
        engine.well = True
        await scheduler.await_engine("scripted")
        assert replica.alive
        group.cancel_scope.cancel()
