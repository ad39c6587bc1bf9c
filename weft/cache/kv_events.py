"""What an engine says its prefix cache holds: the KV events of vLLM.

The events tell which blocks were stored and removed, under vLLM's own hashes. Those can be
computed here too where the engine runs with `--prefix-caching-hash-algo sha256_cbor` and its
default seed (no PYTHONHASHSEED).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from weft.cache.vllm_hashes import event_hashes, vllm_block_hashes
from weft.errors import EngineError

LATE = 16
"""So many batches after a call's end all of its events have come."""


class BlockStored(msgspec.Struct, tag=True):
    """Blocks came to hold tokens that can be hit; fields as vLLM has them, some left out."""

    block_hashes: list[int | bytes]
    parent_block_hash: int | bytes | None
    token_ids: list[int]
    block_size: int
    medium: str | None = None
    extra_keys: list[list[Any] | None] | None = None
    group_idx: int | None = None


class BlockRemoved(msgspec.Struct, tag=True):
    """Blocks were evicted."""

    block_hashes: list[int | bytes]
    medium: str | None = None
    group_idx: int | None = None


class AllBlocksCleared(msgspec.Struct, tag=True):
    """The cache was reset."""


Event = BlockStored | BlockRemoved | AllBlocksCleared


class _Payload(msgspec.Struct, array_like=True):
    ts: float
    events: list[Event]


_decoder = msgspec.msgpack.Decoder(_Payload)


def decode(payload: bytes) -> list[Event]:
    """The events of a batch.

    Raises:
        EngineError: they have a form that weft does not know.
    """
    try:
        return _decoder.decode(payload).events
    except msgspec.MsgspecError as error:
        raise EngineError(
            f"an engine publishes KV events in a form that weft does not know ({error}); "
            "run vLLM 0.32, or without --kv-events-config"
        ) from error


class ReportedIndex:
    """The blocks that an engine says it holds.

    Events come some time after what they tell of, perhaps after the answer to the call that
    caused it. So what a call left counts as held, if `expect` is told of it, until they come.

    The same content may be stored twice, and each copy is removed by itself, so references
    are counted. Only what lies in the memory of the GPU, or of the CPU that computes, counts,
    and of a model with several groups of KV cache only the first one.

    Attributes:
        next: the number of the batch of events that comes next.
    """

    def __init__(self) -> None:
        self.next = 0
        self._references: dict[int, int] = {}
        self._expected: list[tuple[Sequence[int], int]] = []  # and when to give up, as `next`
        self._checked = False

    def __len__(self) -> int:
        return len(self._references)

    def match(self, hashes: Sequence[int]) -> int:
        """How many leading blocks are held, by their `event_hashes`."""
        references = self._references
        held = next((i for i, h in enumerate(hashes) if h not in references), len(hashes))
        # An element of a chain stands for all before it, so this can be searched by halves.
        for chain, _ in self._expected:
            most = min(len(chain), len(hashes))
            held = max(held, bisect_left(range(most), 1, key=lambda i: chain[i] != hashes[i]))
        return held

    def expect(self, hashes: Sequence[int]) -> None:
        """A call ended and left these blocks, its answer's included; events will tell of them."""
        if hashes and hashes[-1] not in self._references:
            self._expected.append((hashes, self.next + LATE))

    def apply(self, number: int, events: Iterable[Event]) -> bool:
        """Take in a batch; one that was taken in before changes nothing.

        Returns:
            False if batches before it are missing, and so nothing has changed: they are
            needed from `next` on.

        Raises:
            EngineError: the engine computes other hashes than `vllm_block_hashes`.
        """
        if number != self.next:
            return number < self.next
        self.next += 1
        for event in events:
            if isinstance(event, AllBlocksCleared):
                self._references.clear()
            elif event.group_idx in (None, 0) and event.medium in (None, "GPU"):
                if isinstance(event, BlockStored):
                    self._store(event)
                else:
                    self._remove(event)
        self._expected = [
            (chain, last)
            for chain, last in self._expected
            if chain[-1] not in self._references and self.next < last
        ]
        return True

    def restart(self, number: int = 0) -> None:
        """Forget everything: the engine was restarted, or batches are lost.

        Args:
            number: of the batch that comes next.
        """
        self.next = number
        self._references.clear()
        self._expected.clear()
        self._checked = False

    def _store(self, event: BlockStored) -> None:
        if not self._checked and event.parent_block_hash is None:
            self._check(event)
        for block in event.block_hashes:
            key = _low(block)
            self._references[key] = self._references.get(key, 0) + 1

    def _remove(self, event: BlockRemoved) -> None:
        for block in event.block_hashes:
            key = _low(block)
            left = self._references.get(key, 0) - 1
            if left > 0:
                self._references[key] = left
            else:
                self._references.pop(key, None)

    def _check(self, event: BlockStored) -> None:
        """Compare the first hash of an event that begins a chain with our own."""
        if event.extra_keys and event.extra_keys[0]:
            return
        ours = vllm_block_hashes(event.token_ids[: event.block_size], event.block_size)
        if event_hashes(ours) != [_low(event.block_hashes[0])]:
            raise EngineError(
                "an engine's KV events name blocks by hashes that weft can't compute; start "
                "vLLM with --prefix-caching-hash-algo sha256_cbor and without PYTHONHASHSEED"
            )
        self._checked = True


def _low(block: int | bytes) -> int:
    return block if isinstance(block, int) else int.from_bytes(block[-8:], "big")
