from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.service.door.load import LoadShedder


class Queue:
    """Calls that wait, and a clock."""

    def __init__(self, waiting: int = 0) -> None:
        self.waiting, self.now = waiting, 0.0
        self.load = LoadShedder(lambda: self.waiting, lambda: self.now)

    def starts(self, times: int, every: float) -> None:
        """Calls are started at even times."""
        for _ in range(times):
            self.now += every
            self.load.note_start()


def test_what_has_room_is_taken_in() -> None:
    queue = Queue()
    assert queue.load.check(10, 60, new=True) is None
    queue.waiting = 7
    assert queue.load.check(10, 60, new=True) is None


def test_programs_under_way_may_fill_what_new_ones_may_not() -> None:
    for waiting, new, known in ((7, True, True), (8, False, True), (9, False, True), (10, 0, 0)):
        queue = Queue(waiting)
        assert (queue.load.check(10, 60, new=True) is None) == new
        assert (queue.load.check(10, 60, new=False) is None) == known


def test_a_refusal_says_why_and_when_to_come_again() -> None:
    queue = Queue(10)
    queue.starts(11, 0.5)  # two a second, so ten are served in five
    refused = queue.load.check(10, 60, new=False)
    assert refused is not None
    assert refused.status == 503
    assert "10 requests wait for an engine already" in str(refused)
    assert "try again in 5 s" in str(refused)


def test_a_queue_that_outlasts_patience_is_full() -> None:
    queue = Queue(50)
    queue.starts(21, 1.0)  # 21 in 20 s
    assert queue.load.seconds() == pytest.approx(50 * 20 / 21)
    assert queue.load.check(100, 48, new=False) is None
    refused = queue.load.check(100, 47, new=False)
    assert refused is not None
    assert "longer than what can be served in 47 s" in str(refused)


def test_only_what_started_lately_tells_the_pace() -> None:
    queue = Queue(10)
    queue.starts(100, 0.01)
    queue.now += 31
    assert queue.load.seconds() == 0.0  # nothing is known
    queue.starts(4, 2.0)
    assert queue.load.seconds() == pytest.approx(10 * 6 / 4)


@given(
    st.lists(st.floats(0, 40), max_size=30),
    st.integers(0, 40),
    st.integers(1, 30),
    st.floats(0, 100),
)
def test_more_waiting_never_opens_the_door(
    gaps: list[float], waiting: int, most: int, patience: float
) -> None:
    queue = Queue()
    for gap in gaps:
        queue.starts(1, gap)
    taken = []
    for queue.waiting in range(waiting, waiting + 30):
        known, new = (queue.load.check(most, patience, new=new) for new in (False, True))
        assert known is None or new is not None  # programs under way come first
        for refused in (known, new):
            if refused is not None:
                assert 1 <= (refused.retry_after or 0) <= 60
        assert queue.waiting < most or known is not None
        taken.append(known is None)
    assert all(one >= other for one, other in itertools.pairwise(taken))
