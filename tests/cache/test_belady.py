from functools import cache
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.cache.belady import Access, best_hits
from weft.cache.block_hashes import block_hashes
from weft.errors import UsageError


def access(ids, prompt):
    blocks = block_hashes(ids, 1)
    return Access(blocks, min(prompt, len(blocks)))


calls = st.builds(access, st.lists(st.integers(0, 1), min_size=1, max_size=4), st.integers(0, 4))


def leading(resident, blocks):
    return next((i for i, block in enumerate(blocks) if block not in resident), len(blocks))


def exhaustive(accesses, capacity):
    """Try all there is to keep."""

    @cache
    def best(now, resident):
        if now == len(accesses):
            return 0
        blocks = accesses[now].blocks
        hits = leading(resident, blocks[: accesses[now].prompt])
        others = sorted(resident - set(blocks))
        room = min(len(others), capacity - len(blocks))
        return hits + max(
            best(now + 1, frozenset(blocks) | frozenset(kept))
            for size in range(room + 1)
            for kept in combinations(others, size)
        )

    return best(0, frozenset())


def least_recently_used(accesses, capacity):
    """Hits of a cache that evicts as engines do; the tail of a call goes before its head."""
    held = []  # next victim first
    hits = []
    for call in accesses:
        hits.append(leading(held, call.blocks[: call.prompt]))
        held = [block for block in held if block not in call.blocks]
        held = held[max(0, len(held) + len(call.blocks) - capacity) :]
        held += reversed(call.blocks)
    return hits


@settings(max_examples=100)
@given(st.lists(calls, max_size=8), st.integers(4, 8))
def test_nothing_could_do_better(accesses, capacity):
    assert sum(best_hits(accesses, capacity)) == exhaustive(accesses, capacity)


@given(st.lists(calls, max_size=30), st.integers(4, 16))
def test_least_recently_used_is_never_better_than_the_optimum(accesses, capacity):
    best = best_hits(accesses, capacity)
    assert sum(least_recently_used(accesses, capacity)) <= sum(best)
    for call, hits in zip(accesses, best, strict=True):
        assert 0 <= hits <= call.prompt


@given(st.lists(calls, max_size=30))
def test_with_room_for_all_both_hit_whatever_was_there_before(accesses):
    assert least_recently_used(accesses, 200) == best_hits(accesses, 200)


def test_a_loop_one_larger_than_the_cache():
    """Where LRU hits nothing, the optimum loses one in each round."""
    loop = [access([i], 1) for i in range(4)] * 5
    assert sum(least_recently_used(loop, 3)) == 0
    best = sum(best_hits(loop, 3))
    assert best == exhaustive(loop, 3) > 0


def test_what_cannot_be_a_hit_next_time_is_not_worth_keeping():
    a, b = access([0, 0], 2), access([1, 1], 2)
    unhittable = access([0, 0], 0)
    assert best_hits([a, b, unhittable, a, b], 4) == [0, 0, 0, 2, 2]
    assert best_hits([a, b, access([0, 1, 1], 0), b], 5) == [0, 0, 0, 2]


def test_a_call_larger_than_the_cache_is_refused():
    with pytest.raises(UsageError, match="capacity is 1 blocks"):
        best_hits([access([0, 0], 2)], 1)
    assert best_hits([], 1) == []
