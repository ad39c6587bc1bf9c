"""The prefix cache of a scripted engine."""

from __future__ import annotations

from collections import OrderedDict


class Blocks:
    """Remembers prompts in whole blocks, as vLLM does; the least recently used go first.

    Args:
        size: tokens in a block.
        room: tokens that it holds; None is unlimited.
    """

    def __init__(self, size: int, room: int | None) -> None:
        self.size, self.room = size, room
        self._held: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        """Blocks held."""
        return len(self._held)

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()

    def found(self, tokens: tuple[int, ...], salt: str = "") -> int:
        """How many of a prompt's first tokens are held; its last one never counts."""
        count = 0
        for block in self._chain(tokens[:-1], salt):
            if block not in self._held:
                break
            count += self.size
        return count

    def add(self, tokens: tuple[int, ...], salt: str = "") -> None:
        """Hold these tokens; prompts of one salt are not found with another."""
        for block in reversed(self._chain(tokens, salt)):  # the tail is forgotten first
            self._held[block] = None
            self._held.move_to_end(block)
        while self.room is not None and len(self._held) * self.size > self.room:
            self._held.popitem(last=False)

    def _chain(self, tokens: tuple[int, ...], salt: str) -> list[int]:
        """The hash of each whole block with all before it."""
        size, before, chain = self.size, hash(salt), list[int]()
        for start in range(0, len(tokens) - size + 1, size):
            before = hash((before, tokens[start : start + size]))
            chain.append(before)
        return chain
