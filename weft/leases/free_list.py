"""HeldLast: vLLM's list of free blocks, in which held ones stand at the end.

vLLM takes new blocks from the front of the list. Held blocks are free like all others, and stand
behind all that are not held; when only held ones are left, some are given up. So leases change in
which order blocks are forgotten, and nothing else.
"""

# pyright: basic
# vLLM's list is hardly typed.

from __future__ import annotations

from collections.abc import Iterable

from vllm.v1.core.kv_cache_utils import FreeKVCacheBlockQueue, KVCacheBlock

from weft.leases.book import LeaseBook
from weft.leases.terms import AT_ONCE


class HeldLast(FreeKVCacheBlockQueue):
    """Takes over a list, with all that is in it.

    Args:
        old: the list.
        blocks: all blocks of the pool, by their ids.
        book: says which blocks are held.
    """

    def __init__(
        self, old: FreeKVCacheBlockQueue, blocks: list[KVCacheBlock], book: LeaseBook
    ) -> None:
        self.num_free_blocks = old.num_free_blocks
        self.fake_free_list_head = old.fake_free_list_head
        self.fake_free_list_tail = old.fake_free_list_tail
        self._blocks, self._book = blocks, book
        self._held: set[int] = set()
        self._first: KVCacheBlock | None = None
        self._worthless: set[int] = set()

    @property
    def held(self) -> int:
        """How many of the free blocks are held."""
        return len(self._held)

    def popleft(self) -> KVCacheBlock:
        """The first block; a held one only if all are."""
        self._make_room(1)
        return super().popleft()

    def popleft_n(self, n: int) -> list[KVCacheBlock]:
        """The first n blocks; held ones only if there are too few others."""
        self._make_room(n)
        return super().popleft_n(n)

    def remove(self, block: KVCacheBlock) -> None:
        """A block is used again."""
        self._step_out(block)
        super().remove(block)

    def append(self, block: KVCacheBlock) -> None:
        """As `append_n` with one block."""
        self.append_n([block])

    def append_n(self, blocks: Iterable[KVCacheBlock]) -> None:
        """Cached blocks become free: held ones go to the end, worthless ones to the front."""
        held: list[KVCacheBlock] = []
        plain: list[KVCacheBlock] = []
        worthless: list[KVCacheBlock] = []
        for block in blocks:
            if self._book.holds(block.block_id):
                held.append(block)
            elif block.block_id in self._worthless:
                self._worthless.discard(block.block_id)
                worthless.append(block)
            else:
                plain.append(block)
        super().prepend_n(worthless)
        self._before_held(plain)
        if held:
            super().append_n(held)
            self._held.update(block.block_id for block in held)
            self._first = self._first or held[0]

    def prepend_n(self, blocks: list[KVCacheBlock]) -> None:
        """Blocks that hold nothing become free."""
        self._book.gone(block.block_id for block in blocks if self._book.holds(block.block_id))
        super().prepend_n(blocks)

    def release(self, ids: Iterable[int]) -> None:
        """Blocks are held no longer: free ones are the newest of those that are not held."""
        self._before_held(self._taken_out(ids))

    def forget(self, ids: Iterable[int]) -> None:
        """Blocks are worthless: they are the first to be forgotten, once they are free."""
        ids = [id for id in ids if not self._book.holds(id)]
        in_use = {id for id in ids if self._blocks[id].ref_cnt > 0}
        free = [self._blocks[id] for id in ids if id not in in_use]
        for block in free:
            self.remove(block)
        super().prepend_n(free)
        # What others use too is not worthless.
        self._worthless |= {id for id in in_use if self._blocks[id].ref_cnt == 1}

    def give_up(self) -> None:
        """Hold none of the free blocks any longer."""
        self.release(self._book.give_up(self.held, self._held))

    def _make_room(self, n: int) -> None:
        short = n - (self.num_free_blocks - self.held)
        if short <= 0:
            return
        self.release(self._book.give_up(max(short, AT_ONCE), self._held))
        if n > self.num_free_blocks - self.held:
            self.release(list(self._held))  # held by no lease: there should be none

    def _taken_out(self, ids: Iterable[int]) -> list[KVCacheBlock]:
        blocks = [self._blocks[id] for id in ids if id in self._held]
        for block in blocks:
            self._step_out(block)
            super().remove(block)
        return blocks

    def _before_held(self, blocks: list[KVCacheBlock]) -> None:
        if self._first is None:
            super().append_n(blocks)
            return
        last, after = self._first.prev_free_block, self._first
        assert last is not None
        for block in blocks:
            last.next_free_block, block.prev_free_block = block, last
            last = block
        last.next_free_block, after.prev_free_block = after, last
        self.num_free_blocks += len(blocks)

    def _step_out(self, block: KVCacheBlock) -> None:
        self._worthless.discard(block.block_id)
        if block.block_id not in self._held:
            return
        self._held.discard(block.block_id)
        if self._first is block:
            after = block.next_free_block
            self._first = None if after is self.fake_free_list_tail else after
