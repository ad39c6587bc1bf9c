"""The hashes by which vLLM knows blocks, in its KV events too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any


def vllm_block_hashes(
    tokens: Sequence[int],
    block_size: int,
    salt: str | None = None,
    known: Sequence[bytes] = (),
) -> list[bytes]:
    """For each whole block vLLM's hash: 32 bytes, over the one before it and its own tokens.

    Args:
        tokens: token ids.
        block_size: tokens in a block.
        salt: the request's `cache_salt`.
        known: the hashes of the first blocks, if they were computed before.
    """
    hashes = list(known)
    last = hashes[-1] if hashes else _root()
    for start in range(len(hashes) * block_size, len(tokens) - block_size + 1, block_size):
        extra = (("cache_salt", salt),) if salt and not start else None
        last = _digest((last, tuple(tokens[start : start + block_size]), extra))
        hashes.append(last)
    return hashes


def event_hashes(hashes: Iterable[bytes]) -> list[int]:
    """The hashes as events name them: their low 64 bits."""
    return [int.from_bytes(block[-8:], "big") for block in hashes]


def _digest(value: Any) -> bytes:
    return hashlib.sha256(_encoder()(value)).digest()


@cache
def _encoder() -> Callable[[Any], bytes]:
    """CBOR, which few programs need: its library is loaded with the first block."""
    from cbor2 import dumps

    return lambda value: dumps(value, canonical=True)


@cache
def _root() -> bytes:
    """What the first block of a prompt follows."""
    return _digest("vllm-none-hash")
