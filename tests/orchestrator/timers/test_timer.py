"""One timer for many times."""

from __future__ import annotations

from collections.abc import Callable

from weft.orchestrator.timers.timer import Timer


def test_it_rings_once_at_the_earliest_time_and_can_be_set_again() -> None:
    alarms: dict[float, Callable[[], None]] = {}
    rung: list[float] = []
    now = 0.0
    timer = Timer(alarms.__setitem__, lambda: rung.append(now))
    for due in (5.0, 3.0, 4.0, 3.0):
        timer.set(due)
    assert list(alarms) == [5.0, 3.0]
    for now in (3.0, 5.0):
        alarms[now]()
    assert rung == [3.0]
    timer.set(9.0)
    now = 9.0
    alarms[now]()
    assert rung == [3.0, 9.0]
