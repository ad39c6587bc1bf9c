from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weft.service.door import places
from weft.service.door.places import Places


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def ticket() -> Any:
    """A place; nothing is asked of it here."""
    return object()


def test_a_request_that_comes_again_gets_its_place_once() -> None:
    kept = Places(Clock())
    first, other = ticket(), ticket()
    kept.keep("p", b"one", first)
    kept.keep("p", b"other", other)
    assert kept.take("q", b"one") is None
    assert kept.take("p", b"one ") is None
    assert kept.take("p", b"one") is first
    assert kept.take("p", b"one") is None
    assert kept.take("p", b"other") is other


moves = st.one_of(
    st.tuples(st.just("keep"), st.sampled_from("pq"), st.sampled_from([b"a", b"b"])),
    st.tuples(st.just("take"), st.sampled_from("pq"), st.sampled_from([b"a", b"b"])),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 599.0, 600.0]), st.just(b"")),
)


@given(st.lists(moves, max_size=40))
def test_the_latest_place_counts_and_is_kept_for_ten_minutes(done: list[Any]) -> None:
    clock, known = Clock(), {}
    kept = Places(clock)
    for move, who, what in done:
        if move == "keep":
            known[who, what] = clock.now, ticket()
            kept.keep(who, what, known[who, what][1])
        elif move == "take":
            at, wanted = known.pop((who, what), (-1e9, None))
            assert kept.take(who, what) is (wanted if clock.now - at < 600 else None)
        else:
            clock.now += who


def test_of_too_many_the_oldest_are_forgotten() -> None:
    kept, most = Places(Clock()), places._MOST
    tickets = [ticket() for _ in range(most + 10)]
    for number in range(most):
        kept.keep("p", b"%d" % number, tickets[number])
    kept.keep("p", b"0", tickets[0])  # no longer the oldest
    for number in range(most, most + 10):
        kept.keep("p", b"%d" % number, tickets[number])
    there = [kept.take("p", b"%d" % number) is tickets[number] for number in range(most + 10)]
    assert there == [True] + [False] * 10 + [True] * (most - 1)
