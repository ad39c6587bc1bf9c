"""What an engine's prefix cache probably holds: chained hashes of token blocks."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence

import xxhash


def block_hashes(tokens: Sequence[int], block_size: int) -> list[int]:
    """A hash for each whole block, each over the one before it and its own tokens.

    The last token never counts: an engine computes it anew to have something to sample from.
    """
    ids = array("q", tokens)
    hashes: list[int] = []
    last = 0
    for end in range(block_size, len(ids), block_size):
        last = xxhash.xxh3_64_intdigest(ids[end - block_size : end].tobytes(), seed=last)
        hashes.append(last)
    return hashes


class PrefixIndex:
    """The blocks of one engine, least recently used first, bounded by its KV cache.

    Entries are made when a call is sent, so that the siblings of a fan-out land together.

    Args:
        blocks: how many blocks the engine holds.
    """

    def __init__(self, blocks: int) -> None:
        self.capacity = blocks
        self._held: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def match(self, hashes: Sequence[int]) -> int:
        """How many leading blocks are held."""
        for i, block in enumerate(hashes):
            if block not in self._held:
                return i
        return len(hashes)

    def insert(self, hashes: Sequence[int]) -> None:
        """Note that the engine will hold these blocks; the oldest ones leave if it is full."""
        # Engines evict a sequence from its tail, so its head is the most recent.
        for block in reversed(hashes[: self.capacity]):
            self._held[block] = None
            self._held.move_to_end(block)
        while len(self._held) > self.capacity:
            self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: the engine was restarted."""
        self._held.clear()
