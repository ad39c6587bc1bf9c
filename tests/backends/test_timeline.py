from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
import trio.testing

from weft.backends.timeline import Alarm, Timeline


def virtual(main: Callable[[], Any]) -> Any:
    """In trio's virtual time; `VirtualClock` has tests of its own."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(main, backend="trio", backend_options={"clock": clock})


def test_callbacks_run_at_their_times_and_ties_in_order() -> None:
    rang: list[tuple[str, float]] = []

    async def main() -> None:
        async with Timeline() as timeline:
            begun = timeline.now

            def ring(name: str) -> Callable[[], None]:
                return lambda: rang.append((name, timeline.now - begun))

            timeline.at(begun + 5, ring("c"))
            timeline.at(begun + 2, ring("a"))
            timeline.at(begun + 5, ring("d"))
            timeline.at(begun + 2, ring("b"))
            timeline.at(begun - 9, ring("past"))
            await anyio.sleep(10)
            assert timeline.wakeups == 3
            # An earlier one moves the end of a nap that has begun.
            timeline.at(begun + 20, ring("f"))
            await anyio.sleep(1)
            timeline.at(begun + 15, ring("e"))
            await anyio.sleep(10)
            assert timeline.wakeups == 5

    virtual(main)
    times = {"past": 0, "a": 2, "b": 2, "c": 5, "d": 5, "e": 15, "f": 20}
    assert [name for name, _ in rang] == list(times)
    assert [at for _, at in rang] == pytest.approx(list(times.values()))


def test_callbacks_set_by_callbacks() -> None:
    seen: list[float] = []

    async def main() -> None:
        async with Timeline() as timeline:

            def again() -> None:
                seen.append(timeline.now)
                if len(seen) < 5:
                    timeline.at(timeline.now + (len(seen) % 2), again)  # at once, or later

            timeline.at(timeline.now + 1, again)
            await anyio.sleep(100)
            assert timeline.wakeups == 3

    virtual(main)
    assert [at - seen[0] for at in seen] == pytest.approx([0, 1, 1, 2, 2])


def test_nobody_wakes_for_what_was_cancelled() -> None:
    rang: list[int] = []

    async def main() -> None:
        async with Timeline() as timeline:
            alarms = [timeline.at(timeline.now + i, lambda i=i: rang.append(i)) for i in range(9)]
            await anyio.sleep(0.5)
            for i in (1, 2, 4, 8):
                alarms[i].cancel()
                assert not alarms[i].pending
            await anyio.sleep(20)
            assert timeline.wakeups == 5
            assert not any(alarm.pending for alarm in alarms)
            alarms[0].cancel()  # nothing happens

    virtual(main)
    assert rang == [0, 3, 5, 6, 7]


def test_any_order_of_setting_and_cancelling() -> None:
    randomly = random.Random(3)
    rang: list[int] = []
    times: dict[int, float] = {}

    async def main() -> None:
        async with Timeline() as timeline:
            alarms: list[Alarm] = []

            def ring(i: int) -> None:
                assert timeline.now == pytest.approx(times[i], abs=1e-9)
                rang.append(i)

            for i in range(2000):
                times[i] = timeline.now + randomly.choice([0, 1, 2, 3, 5]) * randomly.random()
                alarms.append(timeline.at(times[i], partial(ring, i)))
                other = randomly.randrange(3 * len(alarms))
                if other < len(alarms) and alarms[other].pending:
                    alarms[other].cancel()
                    del times[other]
                if randomly.random() < 0.2:
                    await anyio.sleep(randomly.random() / 10)
            await anyio.sleep(20)

    virtual(main)
    assert 1000 < len(rang) < 2000
    assert rang == sorted(times, key=lambda i: (times[i], i))


async def test_real_clocks() -> None:
    rang = anyio.Event()
    async with Timeline() as timeline:
        timeline.at(math.inf, lambda: None)
        due = timeline.now + 0.02
        timeline.at(due, rang.set)
        await rang.wait()
        assert timeline.now >= due


async def test_an_exception_leaves_the_block_as_it_is() -> None:
    def fail() -> None:
        raise ValueError("in a callback")

    async def block(error: Exception | None) -> None:
        async with Timeline() as timeline:
            if error is not None:
                raise error
            timeline.at(timeline.now, fail)
            await anyio.sleep_forever()

    with pytest.raises(ValueError, match="in a callback"):
        await block(None)
    with pytest.raises(KeyError):
        await block(KeyError())
    with anyio.move_on_after(0.01) as scope:
        async with Timeline():
            await anyio.sleep_forever()
    assert scope.cancelled_caught
