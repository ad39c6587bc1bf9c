"""vLLM's own pool of blocks, with held blocks at the end of its list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.leases.book import LeaseBook
from weft.leases.directive import Directive

COUNT = 12


class Pool:
    """A pool whose blocks all have something cached, but the null block."""

    def __init__(self) -> None:
        block_pool = pytest.importorskip("vllm.v1.core.block_pool")
        free_list = pytest.importorskip("weft.leases.free_list")
        self.pool = block_pool.BlockPool(COUNT + 1, True, 16)
        self.now = 0.0
        self.book = LeaseBook(lambda: self.now)
        self.list = free_list.HeldLast(self.pool.free_block_queue, self.pool.blocks, self.book)
        self.pool.free_block_queue = self.list

    def take(self, count: int) -> list[int]:
        blocks = self.pool.get_new_blocks(count)
        for block in blocks:
            block._block_hash = f"content {block.block_id}".encode()
        self.book.gone(block.block_id for block in blocks)
        return [block.block_id for block in blocks]

    def free(self, ids: list[int]) -> None:
        self.pool.free_blocks(self.pool.blocks[id] for id in ids)

    def touch(self, ids: list[int]) -> None:
        self.pool.touch([self.pool.blocks[id] for id in ids])

    def lease(self, name: str, ids: list[int], next_use: float = 10.0) -> None:
        self.book.grant(Directive(name, next_use=next_use, seconds=99.0), ids)

    @property
    def order(self) -> list[int]:
        return [block.block_id for block in self.list.get_all_free_blocks()]


def test_held_blocks_go_last() -> None:
    pool = Pool()
    ids = pool.take(4)
    pool.lease("a", ids[:2])
    pool.free(ids[::-1])
    assert pool.order[-2:] == [2, 1]
    assert pool.take(COUNT - 2) == [*range(5, COUNT + 1), 4, 3]
    assert pool.list.held == 2
    assert pool.take(2) == [2, 1]  # the end of the sequence before its beginning
    assert pool.book.held == 0


def test_held_blocks_are_free_to_vllm() -> None:
    pool = Pool()
    ids = pool.take(COUNT)
    pool.lease("a", ids)
    pool.free(ids)
    assert pool.pool.get_num_free_blocks() == COUNT
    assert pool.pool.get_usage() == 0
    assert pool.pool.reset_prefix_cache()
    assert len(pool.take(COUNT)) == COUNT


def test_a_block_that_is_used_again_comes_back_to_its_place() -> None:
    pool = Pool()
    ids = pool.take(3)
    pool.lease("a", ids)
    pool.free(ids[::-1])
    pool.touch([1])
    assert pool.list.held == 2
    pool.free([1])
    assert pool.order[-3:] == [3, 2, 1]


def test_what_is_released_is_the_newest_of_the_others() -> None:
    pool = Pool()
    ids = pool.take(4)
    pool.lease("a", ids[:2])
    pool.lease("b", ids[2:])
    pool.free(ids)
    pool.list.release(pool.book.end("a", "released"))
    assert pool.order[-4:] == [2, 1, 3, 4]


def test_what_is_forgotten_goes_first_now_or_when_it_becomes_free() -> None:
    pool = Pool()
    ids = pool.take(4)
    pool.free(ids[:2])
    pool.list.forget(ids)
    assert pool.order[:2] == [1, 2]
    pool.free(ids[2:])
    assert pool.order[:4] == [3, 4, 1, 2]


def test_what_others_use_too_is_not_forgotten() -> None:
    pool = Pool()
    [shared, own, held] = pool.take(3)
    pool.touch([shared])
    pool.lease("a", [held])
    pool.list.forget([shared, own, held])
    pool.free([own, held, shared])
    assert pool.order[0] == own
    pool.free([shared])
    assert pool.order[-2:] == [shared, held]


def test_blocks_that_lost_their_content_are_held_no_longer() -> None:
    pool = Pool()
    ids = pool.take(2)
    pool.lease("a", ids)
    pool.pool.blocks[1]._block_hash = None
    pool.free(ids)
    assert pool.order[0] == 1
    assert pool.book.held == 1


steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "free", "touch", "lease", "end", "forget", "sweep"]),
        st.integers(0, COUNT),
        st.sampled_from("abc"),
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(steps)
def test_the_list_stays_whole_and_nothing_is_refused(done: list[tuple[str, int, str]]) -> None:
    pool, in_use = Pool(), list[int]()
    for what, number, name in done:
        match what:
            case "take" if number <= pool.pool.get_num_free_blocks():
                plain = [id for id in pool.order if not pool.book.holds(id)]
                taken = pool.take(number)
                assert len(taken) == number
                # None that is held goes as long as one is there that is not.
                assert set(taken[: len(plain)]) <= set(plain)
                in_use += taken
            case "free" if in_use:
                ids = [in_use.pop() for _ in range(min(number, len(in_use)))]
                pool.free(ids)
            case "touch" if in_use or pool.order:
                id = 1 + number % COUNT
                pool.touch([id])
                in_use.append(id)
            case "lease":
                ids = list(dict.fromkeys(in_use[:number]))
                freed = pool.book.grant(Directive(name, next_use=number, seconds=5.0), ids)
                pool.list.release(freed)
            case "end":
                pool.list.release(pool.book.end(name, "released"))
            case "forget":
                ended = pool.book.end(name, "forgotten")
                pool.list.release(ended)
                pool.list.forget(ended)
            case "sweep":
                pool.now += number
                pool.list.release(pool.book.sweep())
        order = pool.order
        assert len(order) == pool.list.num_free_blocks == len(set(order))
        assert set(order) == set(range(1, COUNT + 1)) - set(in_use)
        assert pool.order == [b.block_id for b in backwards(pool.list)][::-1]
        held = [pool.book.holds(id) for id in order]
        assert held == sorted(held)
        assert pool.list.held == sum(held)


def backwards(free: Any) -> list[Any]:
    found, block = [], free.fake_free_list_tail.prev_free_block
    while block is not free.fake_free_list_head:
        found.append(block)
        block = block.prev_free_block
    return found
