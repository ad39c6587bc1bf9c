"""Chained hashes of token blocks: what prefixes are known by."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import xxhash


def block_hashes(
    tokens: Sequence[int], block_size: int, known: Sequence[int] = (), seed: int = 0
) -> list[int]:
    """A hash for each whole block of tokens, each over the one before it and its own tokens.

    Two lists are equal at `i` exactly if the tokens up to there are equal. An engine computes
    the last token of a prompt anew to have something to sample from, so at most
    `(prompt_tokens - 1) // block_size` of a prompt's blocks can be hits.

    Args:
        tokens: token ids.
        block_size: tokens in a block.
        known: the hashes of the first blocks, if they were computed before.
        seed: the hash of the block before the first token, if there is one.
    """
    hashes = list(known)
    last = hashes[-1] if hashes else seed
    done = len(hashes) * block_size
    ids = memoryview(array("q", tokens[done:] if done else tokens))
    for end in range(block_size, len(ids) + 1, block_size):
        last = xxhash.xxh3_64_intdigest(ids[end - block_size : end], seed=last)
        hashes.append(last)
    return hashes


def salted(hashes: Sequence[int], salt: str) -> list[int]:
    """Chained hashes for a cache salt: requests with another one share nothing with them.

    The same again gives the hashes without the salt.
    """
    key = xxhash.xxh3_64_intdigest(salt.encode("utf-8", "surrogatepass"))
    return [one ^ key for one in hashes]
