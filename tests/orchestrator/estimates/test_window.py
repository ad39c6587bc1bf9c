"""The window of an engine: one program more while KV is free, half as many when it is full."""

import math

from weft.orchestrator.estimates.window import Window


def limits(window: Window, programs: int, use: float, calls: int) -> list[float]:
    """The limit after each of some calls."""
    found: list[float] = []
    for _ in range(calls):
        window.note(programs, use)
        found.append(window.limit)
    return found


def test_there_is_no_limit_until_kv_is_full() -> None:
    window = Window()
    assert limits(window, 12, 0.94, 50) == [math.inf] * 50
    assert limits(window, 12, 0.95, 1) == [6.0]


def test_after_a_cut_as_many_calls_go_by_as_programs_may_live_there() -> None:
    window = Window()
    limits(window, 12, 1.0, 12)
    # Twelve still live there and fill it; six calls later there are too many again.
    assert limits(window, 12, 1.0, 7) == [6.0] * 6 + [6.0]
    assert limits(window, 4, 1.0, 4)[-1] == 2.0
    assert min(limits(Window(), 1, 1.0, 9)) == 1.0


def test_it_grows_by_one_in_a_round_and_only_if_it_is_what_keeps_others_out() -> None:
    window = Window()
    limits(window, 4, 1.0, 4)
    assert window.limit == 2
    assert limits(window, 2, 0.5, 5) == [2, 3, 3, 3, 3]  # three of them are needed for more
    assert limits(window, 3, 0.5, 3)[-1] == 4
    assert limits(window, 3, 0.5, 20)[-1] == 4  # there is room for one more as it is
    assert limits(window, 4, 0.85, 20)[-1] == 4  # nearly full


def test_preemptions_count_as_kv_that_is_full() -> None:
    window = Window()
    window.preempted(8)
    assert window.limit == 4
    window.preempted(8)  # those that were let in too early have not left yet
    assert window.limit == 4
    assert limits(window, 4, 0.5, 4)[-1] == 5
    window.preempted(4)
    assert window.limit == 2
