from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.call_queue import CallQueue, before
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.programs.program import Program
from weft.types import Request


def ticket(number: int, key: float = 0.0, overdue: float | None = None) -> Ticket:
    call = Call(Request(str(number), "m", ()), "p")
    made = Ticket(call, Program("p"), number, 0.0, 1, lambda: None)
    made.key, made.overdue = (key,), math.inf if overdue is None else overdue
    return made


def rank(one: Ticket, now: float) -> tuple[Any, ...]:
    """The order by its definition: the overdue by their times, then by key, then by arrival."""
    late = one.overdue <= now
    return (not late, one.overdue if late else 0.0, one.key, one.arrival)


tickets = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.none() | st.sampled_from([5.0, 10.0, 15.0])),
    min_size=1,
    max_size=12,
).map(lambda drawn: [ticket(number, *one) for number, one in enumerate(drawn)])
moves = st.lists(st.tuples(st.sampled_from(["put", "remove", "wait"]), st.integers(0, 11)))


@given(tickets, moves)
def test_it_is_a_sorted_list_in_which_calls_come_and_go(
    known: list[Ticket], done: list[tuple[str, int]]
) -> None:
    queue, there, now = CallQueue(), list[Ticket](), 0.0
    for move, number in done:
        one = known[number % len(known)]
        if move == "put" and one not in there:
            queue.put(one)
            there.append(one)
        elif move == "remove":
            queue.remove(one)  # also one that is not there
            there = [other for other in there if other is not one]
        elif move == "wait":
            now += number / 4
        assert len(queue) == len(there)
        assert queue.first(now) is min(there, key=lambda one: rank(one, now), default=None)
        coming = [one.overdue for one in there if one.overdue > now]
        late = any(one.overdue <= now for one in there)
        assert queue.next_overdue(now) == (math.inf if late else min(coming, default=math.inf))
    assert queue.take_all() == sorted(there, key=lambda one: (one.key, one.arrival))
    assert len(queue) == 0
    assert queue.first(now) is None


@given(tickets, st.sampled_from([0.0, 5.0, 12.0]))
def test_calls_of_two_queues_compare_as_those_of_one(known: list[Ticket], now: float) -> None:
    for one in known:
        for other in known:
            assert before(one, other, now) == (rank(one, now) < rank(other, now))


def test_calls_that_left_take_no_memory() -> None:
    queue = CallQueue()
    for number in range(1000):
        one = ticket(number, overdue=5.0)
        queue.put(one)
        queue.remove(one)
    assert len(queue._by_key) < 100
    assert len(queue._by_time) < 100
