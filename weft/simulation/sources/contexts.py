"""What prompts hold, as data: runs of tokens, and the chained hashes of their blocks."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction

import xxhash

Run = tuple[int, int]
"""Tokens of consecutive ids: the first id, and how many. Equal ids are equal content."""

_MASK = 2**64 - 1
_TOKEN = 0x9E3779B97F4A7C15  # odd, so that no two tokens behind one beginning hash alike
_BLOCK = 0xC2B2AE3D27D4EB4F


def joined(runs: Iterable[Run]) -> list[Run]:
    """The same tokens in as few runs as possible."""
    made: list[Run] = []
    for first, count in runs:
        if count <= 0:
            continue
        if made and made[-1][0] + made[-1][1] == first:
            made[-1] = (made[-1][0], made[-1][1] + count)
        else:
            made.append((first, count))
    return made


def part(runs: Iterable[Run], begin: int, end: int) -> list[Run]:
    """The tokens from position `begin` up to `end`; fewer if the runs end before."""
    found: list[Run] = []
    at = 0
    for first, count in runs:
        low, high = max(begin - at, 0), min(end - at, count)
        if low < high:
            found.append((first + low, high - low))
        at += count
        if at >= end:
            break
    return found


def length(runs: Iterable[Run]) -> int:
    """How many tokens the runs hold."""
    return sum(count for _, count in runs)


def common(one: Sequence[Run], other: Sequence[Run]) -> int:
    """On how many leading tokens two contexts agree; both must be `joined`."""
    agreed = 0
    for (first, count), (second, size) in zip(one, other, strict=False):
        if first != second:
            break
        agreed += min(count, size)
        if count != size:
            break
    return agreed


class Fresh:
    """Gives tokens that no other context holds.

    Args:
        name: of a space of ids; spaces of different names share nothing.
    """

    def __init__(self, name: str) -> None:
        self._next = space(name)

    def __call__(self, count: int) -> Run:
        """So many tokens, new ones at each call."""
        run = (self._next, count)
        self._next += count
        return run


def space(name: str) -> int:
    """The first id of a space that is large enough for any program's tokens.

    Spaces lie where the hash of their name says, so two of 10,000 programs with 10 million
    tokens each overlap with a probability of 1 in 10,000.
    """
    return xxhash.xxh3_64_intdigest(name.encode())


class Scale:
    """Turns recorded tokens into played ones: all lengths are multiplied by one factor.

    Contexts stay recorded ones; a played block `k` stands for the recorded tokens up to its
    end, so two played prompts share just the blocks that their recorded ones agree on.

    Args:
        factor: played tokens for each recorded one.
        block_size: of the played blocks, tokens.
    """

    def __init__(self, factor: float, block_size: int) -> None:
        self.block_size = block_size
        self.factor = Fraction(repr(factor))
        step = block_size / self.factor  # recorded tokens in a played block
        self._num, self._den = step.numerator, step.denominator

    def tokens(self, recorded: int) -> int:
        """The played length of so many recorded tokens, at least 1."""
        return max(1, round(recorded * self.factor))

    def reach(self, blocks: int) -> int:
        """How many recorded tokens the first `blocks` played blocks stand for."""
        return -(-blocks * self._num // self._den)

    def whole(self, recorded: int) -> int:
        """How many played blocks lie within the first `recorded` tokens."""
        return recorded * self._den // self._num


class HashChain:
    """Chained hashes of the blocks of contexts that follow one another.

    What a context has in common with the one before it is not hashed again. A hash stands for
    all tokens up to its block's end: two blocks have the same one just if their contexts agree
    up to there, whichever chains they come from.

    Args:
        scale: between recorded and played tokens.
    """

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._runs: list[Run] = []
        self._states: list[int] = []  # one for each run: over all before it, and its first id
        self._hashes: list[int] = []

    def blocks(self, context: Iterable[Run], count: int) -> list[int]:
        """Hashes of the context's first `count` played blocks.

        Args:
            context: recorded tokens of prompt and answer, at least `Scale.reach(count)`.
            count: how many played blocks prompt and answer fill.

        Returns:
            A list that is not to be changed.
        """
        scale, runs = self._scale, joined(context)
        kept = min(scale.whole(common(self._runs, runs)), count)
        hashes, states = self._hashes[:kept], self._kept_states(runs)
        position = 0
        for at, (first, size) in enumerate(runs):
            if at == len(states):
                states.append(self._state(states, runs, at))
            ends = min(scale.whole(position + size), count)
            base = states[at] + (first - position - 1) * _TOKEN
            hashes.extend(
                (base + end * _TOKEN + block * _BLOCK) & _MASK
                for block in range(len(hashes), ends)
                for end in (scale.reach(block + 1),)
            )
            position += size
        if len(hashes) < count:
            raise ValueError(f"{count} blocks need more than {position} tokens of context")
        self._runs, self._states, self._hashes = runs, states, hashes
        return hashes

    def _kept_states(self, runs: Sequence[Run]) -> list[int]:
        kept = 0
        for kept, (old, new) in enumerate(zip(self._runs, runs, strict=False), 1):
            if old[0] != new[0]:
                return self._states[: kept - 1]
            if old != new:
                break
        return self._states[:kept]

    @staticmethod
    def _state(states: Sequence[int], runs: Sequence[Run], at: int) -> int:
        before = 0
        if at:
            first, size = runs[at - 1]
            before = states[at - 1] + (first + size) * _TOKEN
        return xxhash.xxh3_64_intdigest(struct.pack("<QQ", before & _MASK, runs[at][0] & _MASK))
