"""The clock of the simulator beside trio's own."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest
import trio.testing

from weft.backends.simulated.engine import RequestRecord, SimulatedEngine, SimulatedRequest
from weft.backends.simulated.hardware import Linear
from weft.backends.timeline import Timeline
from weft.simulation.clock import VirtualClock

Main = Callable[[Timeline], Awaitable[object]]


def run(main: Main, clock: str = "virtual") -> object:
    """Run something in virtual time; the clock is the simulator's, or trio's."""
    timeline = Timeline()
    made = (
        VirtualClock(timeline)
        if clock == "virtual"
        else trio.testing.MockClock(autojump_threshold=0)
    )

    async def inner() -> object:
        async with timeline:
            return await main(timeline)

    return anyio.run(inner, backend="trio", backend_options={"clock": made})


def test_tasks_and_callbacks_share_one_time() -> None:
    seen: list[tuple[str, float]] = []

    async def main(timeline: Timeline) -> None:
        begun = anyio.current_time()
        assert timeline.now == begun

        def see(name: str) -> None:
            assert timeline.now == anyio.current_time()
            seen.append((name, timeline.now - begun))

        async def sleeper(name: str, seconds: float) -> None:
            await anyio.sleep(seconds)
            see(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleeper, "task 2", 2)
            tasks.start_soon(sleeper, "task 4", 4)
            tasks.start_soon(sleeper, "task 9", 9)
            for at in (3, 1, 4, 3):
                timeline.at(begun + at, lambda at=at: see(f"callback {at}"))
            cancelled = timeline.at(begun + 5, lambda: see("never"))
            # A callback sets the next, and wakes a task.
            rang = anyio.Event()
            timeline.at(begun + 6, lambda: (timeline.at(begun + 7, rang.set), None)[1])
            cancelled.cancel()
            await rang.wait()
            see("woken")
        with anyio.move_on_after(2.5) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        see("moved on")

    run(main)
    assert seen == [
        ("callback 1", 1),
        ("task 2", 2),
        ("callback 3", 3),
        ("callback 3", 3),
        ("callback 4", 4),  # before tasks of the same time
        ("task 4", 4),
        ("woken", 7),
        ("task 9", 9),
        ("moved on", 11.5),
    ]


def test_an_exception_of_a_callback_leaves_the_block() -> None:
    async def main(timeline: Timeline) -> None:
        timeline.at(timeline.now + 1, lambda: {}["missing"])
        await anyio.sleep_forever()

    with pytest.raises(KeyError, match="missing"):
        run(main)


def test_it_waits_for_threads_when_nothing_else_is_to_come() -> None:
    async def main(timeline: Timeline) -> int:
        return await anyio.to_thread.run_sync(sum, (1, 2, 3))

    assert run(main) == 6


@pytest.mark.parametrize("seed", range(3))
def test_engines_do_the_same_under_both_clocks(seed: int) -> None:
    async def main(timeline: Timeline) -> tuple[float, list[RequestRecord]]:
        randomly = random.Random(seed)
        hardware = Linear(fixed=0.01, prefill_token=0.0001, decode=0.001, kv_tokens=2000)
        engine = SimulatedEngine(timeline, hardware, concurrency=4, keep_log=True)
        begun = timeline.now

        async def one(i: int, at: float, prompt: int, answer: int, patience: float) -> None:
            await anyio.sleep(at)
            request = SimulatedRequest(str(i), "m", (), prompt=prompt, answer=answer)
            with anyio.move_on_after(patience):
                await engine.complete(request, lambda delta: None)

        async with anyio.create_task_group() as tasks:
            for i in range(200):
                at, patience = randomly.uniform(0, 60), randomly.expovariate(0.1)
                lengths = randomly.randint(1, 900), randomly.randint(1, 100)
                tasks.start_soon(one, i, at, *lengths, patience)
        return begun, engine.log

    (begun, ours), (other, theirs) = run(main), run(main, "trio's")  # type: ignore[misc]
    assert [record.id for record in ours] == [record.id for record in theirs]
    assert {record.outcome for record in ours} == {"done", "cancelled"}
    for one, another in zip(ours, theirs, strict=True):
        assert (one.outcome, one.generated) == (another.outcome, another.generated)
        assert one.ended - begun == pytest.approx(another.ended - other, abs=1e-6)
