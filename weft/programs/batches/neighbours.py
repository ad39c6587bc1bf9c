"""Neighbours: calls whose prompts begin alike stand beside each other in a queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Neighbours:
    """Ranks the prompts of many calls along their trie, depth first.

    A queue that is served by rank computes a shared beginning once, and has done with all that
    goes on from it before the beginning is evicted: the order that is best for a cache of
    prefixes (SGLang, 2024; for batches of one workflow Halo, 2025, and Helium, 2026). Of two
    branches of the trie the one that was met first goes first. So where the calls of each stage
    begin with words of their own, a stage is done before the next one begins; where they begin
    with a document, a document is.

    The trie is looked at where prompts have 1, 2, 3, 4 ... blocks, farther apart the longer they
    are. So little is kept of a prompt, however long it is.
    """

    def __init__(self) -> None:
        self._met: dict[int, int] = {}

    def rank(self, hashes: Sequence[int]) -> tuple[int, ...]:
        """Where a prompt stands among the others, by the chained hashes of its blocks."""
        met = self._met
        return tuple([met.setdefault(hashes[at], len(met)) for at in _looked_at(len(hashes))])


def _looked_at(blocks: int) -> Iterator[int]:
    at = 0
    while at < blocks:
        yield at
        after = at + 1 + at // 4
        if at < blocks - 1 < after:
            yield blocks - 1  # equal prompts stand together
        at = after
