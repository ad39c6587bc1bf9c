"""Token ids of conversations that grow, with the hashes of their blocks: only the end is new.

A step of a search adds a few tokens to many. Its ids and hashes begin with those of the
conversation that it goes on from, as long as that one is remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import overload

from weft.cache.block_hashes import block_hashes
from weft.cache.vllm_hashes import event_hashes, vllm_block_hashes

MOST = 2**21
"""Tokens that are remembered in all, 8 bytes each; those used longest ago go first."""

_LEAST = 1024  # tokens for which a path counts that has fewer: it takes memory all the same

_Reported = tuple[list[bytes], list[int]]


class TokenPath(Sequence[int]):
    """The exact ids of a conversation, and the hashes of their whole blocks.

    A path and the first one that goes on from it share one list of ids, so the paths of a
    search take memory for each of its tokens once. As a sequence a path is equal to a tuple of
    the same ids, and its slices and sums are tuples; nothing is copied until somebody wants
    all ids.

    Args:
        tokens: the ids.
    """

    __slots__ = ("_hashes", "_length", "_reported", "_shared", "_tokens")

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self._tokens: tuple[int, ...] | None = tokens
        self._length = len(tokens)
        self._shared: list[int] | None = None  # begins with the ids; others may follow
        self._hashes: dict[int, list[int]] = {}
        self._reported: dict[tuple[int, str], _Reported] = {}

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...
    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        ids = self._tokens if self._shared is None else self._shared
        assert ids is not None
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            if step == 1:
                return tuple(ids[start:stop])
            return tuple([ids[i] for i in range(start, stop, step)])
        if not -self._length <= index < self._length:
            raise IndexError("the path has fewer ids")
        return ids[index % self._length]

    def __iter__(self) -> Iterator[int]:
        return iter(self.tokens)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TokenPath):
            return self.tokens == other.tokens
        return self.tokens == other if isinstance(other, tuple) else NotImplemented

    def __add__(self, more: tuple[int, ...]) -> tuple[int, ...]:
        return self.tokens + more

    def __hash__(self) -> int:
        return hash(self.tokens)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ids; kept until another path goes on from here."""
        if self._tokens is None:
            assert self._shared is not None
            whole = len(self._shared) == self._length
            self._tokens = tuple(self._shared if whole else self._shared[: self._length])
        return self._tokens

    def extended(self, more: Sequence[int]) -> TokenPath:
        """The path that goes on with more ids."""
        shared = self._shared if self._shared is not None else list(self.tokens)
        self._tokens, self._shared = None, shared
        if len(shared) > self._length:  # another went on from here before
            shared = shared[: self._length]
        shared += more
        path = TokenPath(())
        path._tokens, path._shared, path._length = None, shared, len(shared)
        path._hashes, path._reported = dict(self._hashes), dict(self._reported)
        return path

    def hashes(self, block_size: int) -> list[int]:
        """Chained hashes of the whole blocks, for `PrefixIndex`; they must not be changed."""
        known = self._hashes.get(block_size, [])
        if len(known) < self._length // block_size:
            seed = known[-1] if known else 0
            added = block_hashes(self._after(len(known) * block_size), block_size, seed=seed)
            known = self._hashes[block_size] = [*known, *added]
        return known

    def reported(self, block_size: int, salt: str) -> _Reported:
        """The blocks as vLLM hashes them, and as it names them in its KV events."""
        known, named = self._reported.get((block_size, salt), ([], []))
        if len(known) < self._length // block_size:
            hashes = vllm_block_hashes(self.tokens, block_size, salt, known)
            known, named = hashes, [*named, *event_hashes(hashes[len(named) :])]
            self._reported[block_size, salt] = known, named
        return known, named

    def _after(self, done: int) -> Sequence[int]:
        if self._shared is not None:
            return self._shared[done : self._length]
        return self.tokens[done:] if done else self.tokens


class PathMemo:
    """Remembers the paths used last.

    Args:
        most: tokens to remember in all; the path used last is always remembered.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._held = most, 0
        self._known: OrderedDict[Hashable, TokenPath] = OrderedDict()

    def get(self, key: Hashable) -> TokenPath | None:
        """The path of a key, if it is remembered."""
        if (found := self._known.get(key)) is not None:
            self._known.move_to_end(key)
        return found

    def keep(self, key: Hashable, path: TokenPath) -> TokenPath:
        """Remember a path; returns it."""
        if (old := self._known.pop(key, None)) is not None:
            self._held -= _size(old)
        self._known[key] = path
        self._held += _size(path)
        while self._held > self._most and len(self._known) > 1:
            self._held -= _size(self._known.popitem(last=False)[1])
        return path


def _size(path: TokenPath) -> int:
    return max(_LEAST, len(path))


def grown_hashes(
    tokens: Sequence[int], answer: Sequence[int], block_size: int, known: Sequence[int], seed: int
) -> Sequence[int]:
    """`known`, the hashes of the whole blocks of `tokens`, and those that `answer` adds.

    Args:
        tokens: ids of the prompt.
        answer: ids behind them.
        block_size: tokens in a block.
        known: see above.
        seed: of the first block.
    """
    done = len(known) * block_size
    if len(tokens) - done + len(answer) < block_size:
        return known
    added = block_hashes((*tokens[done:], *answer), block_size, seed=known[-1] if known else seed)
    return [*known, *added]
