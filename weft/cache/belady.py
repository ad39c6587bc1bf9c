"""The most that a prefix cache could have given to calls that came one after the other."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from weft.cache.prefix import PrefixIndex
from weft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Access:
    """One call on an engine, as its prefix cache sees it.

    Attributes:
        blocks: chained hashes of the whole blocks of prompt and answer: what the cache holds
            right after the call.
        prompt: how many of the first of them could be hits.
    """

    blocks: Sequence[int]
    prompt: int


def best_hits(accesses: Sequence[Access], capacity: int) -> list[int]:
    """Block hits of each call if the cache knew the future; their sum is the optimum.

    Belady's MIN (1966): what is needed farthest in the future is evicted first. All blocks of
    a call are resident while it runs. Of blocks that are needed at the same time the tail
    goes first, and so the hits are always leading blocks.

    To keep a block from one call to the next that has it earns one hit, if it can be a hit
    there. Which calls those are is the same for whole runs of blocks, so only numbers of
    blocks are kept, by the call for which they wait: O(runs on its path) for each call.

    Args:
        accesses: calls, in order; each runs alone.
        capacity: blocks that the cache holds.

    Raises:
        UsageError: a call alone is larger than the cache.
    """
    _check(accesses, capacity)
    kept: dict[int, int] = {}  # blocks by the call that will hit them
    farthest: list[int] = []  # heap of the negated keys; may name calls that nothing waits for
    resident = 0
    hits: list[int] = []
    for now, (access, waits) in enumerate(zip(accesses, _next_hits(accesses), strict=True)):
        hits.append(kept.pop(now, 0))
        resident -= hits[-1]
        while (excess := resident + len(access.blocks) - capacity) > 0:
            last = -farthest[0]
            left = kept.pop(last, 0)
            evicted = min(excess, left)
            resident -= evicted
            if evicted < left:
                kept[last] = left - evicted
            else:
                heapq.heappop(farthest)
        for then, blocks in waits:
            if then not in kept:
                kept[then] = 0
                heapq.heappush(farthest, -then)
            kept[then] += blocks
            resident += blocks
    return hits


def _next_hits(accesses: Sequence[Access]) -> list[list[tuple[int, int]]]:
    """For each call, the later calls that next have blocks of it, and how many they can hit."""
    # From the last call to the first, a cache without bounds tells for each block which call
    # had it last, that is, will have it next.
    index = PrefixIndex(sum(len(access.blocks) for access in accesses))
    found: list[list[tuple[int, int]]] = []
    for now in range(len(accesses) - 1, -1, -1):
        blocks = accesses[now].blocks
        waits: list[tuple[int, int]] = []
        start = 0
        for then, run in index.owners(blocks):
            assert isinstance(then, int)
            hittable = min(start + run, accesses[then].prompt) - start
            if hittable > 0:
                waits.append((then, hittable))
            start += run
        found.append(waits)
        hold = index.open(blocks)
        index.grow(hold, blocks, len(blocks))
        index.close(hold, now)
    found.reverse()
    return found


def _check(accesses: Sequence[Access], capacity: int) -> None:
    largest = max((len(access.blocks) for access in accesses), default=0)
    if largest > capacity:
        raise UsageError(
            f"capacity is {capacity} blocks and a call alone has {largest}; "
            "give a larger cache or leave such calls out"
        )
