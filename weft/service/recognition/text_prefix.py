"""The bytes of a prompt in chunks the size of an engine's blocks, for the prefix index."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import xxhash


@dataclass(slots=True)
class TextPrefix:
    """Chained hashes of a prompt's whole chunks; never changed.

    Two prompts with the same first `k` chunks have the same first `k` hashes, and no others
    (but for collisions of 64 bits).

    Attributes:
        hashes: one for each whole chunk; never changed.
        bytes: length of the prompt.
        chunk: bytes in a chunk: about those of an engine's block of tokens.
        rest: what comes after the last whole chunk.
        root: where the chain begins; prompts of different roots share nothing.
    """

    hashes: Sequence[int]
    bytes: int
    chunk: int
    rest: bytes
    root: int = 0

    @classmethod
    def of(cls, pieces: Iterable[bytes], chunk: int, root: int = 0) -> TextPrefix:
        """The prefix of a prompt that nothing is known of."""
        new = b"".join(pieces)
        hashes, rest = _chain(new, chunk, root)
        return cls(array("Q", hashes), len(new), chunk, rest, root)

    def extended(self, pieces: Iterable[bytes]) -> TextPrefix:
        """The prefix of this prompt with more behind it; reads only the new bytes."""
        new = b"".join([self.rest, *pieces])
        hashes = array("Q", self.hashes)
        more, rest = _chain(new, self.chunk, hashes[-1] if hashes else self.root)
        hashes.frombytes(more)
        length = self.bytes + len(new) - len(self.rest)
        return TextPrefix(hashes, length, self.chunk, rest, self.root)


def _chain(text: bytes, chunk: int, last: int) -> tuple[bytes, bytes]:
    """Hashes of whole chunks behind a hash, as an array has them, and what is left of the text."""
    whole = len(text) - len(text) % chunk
    digest = xxhash.xxh3_64_intdigest
    parts = struct.iter_unpack(f"{chunk}s", memoryview(text)[:whole])  # quicker than slices
    hashes = [last := digest(part, last) for (part,) in parts]
    # An array looks closely at each number that comes alone.
    return struct.pack(f"{len(hashes)}Q", *hashes), text[whole:]
