"""What the prompts of two calls have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.orchestrator.causes.sent import SentCall
    from weft.types import Message


def shared_blocks(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading blocks two chains share: hashes are chained, so that it can be halved."""
    low, high = 0, min(len(a), len(b))
    if not high or a[0] != b[0]:
        return 0
    if a[high - 1] == b[high - 1]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if a[middle - 1] == b[middle - 1]:
            low = middle
        else:
            high = middle - 1
    return low


def shared_tokens(a: SentCall, b: SentCall) -> int:
    """How many leading tokens two prompts share; whole blocks only where tokens aren't known."""
    size = b.engine.block_size
    at = shared_blocks(a.hashes, b.hashes) * size
    if a.request is None or b.request is None:
        return at
    one, other = a.request.tokens, b.request.tokens
    if one is None or other is None:
        return at
    end = min(len(one), len(other), at + size)
    while at < end and one[at] == other[at]:
        at += 1
    return at


def rendered_otherwise(before: SentCall, now: SentCall) -> int | None:
    """From which token on a conversation is not as it was before; None if it only went on.

    It is the same conversation if a turn that both have follows where they differ. Where no turns
    are known it is, if they begin alike and one call came after the other.
    """
    a, b = before.request, now.request
    if a is None or b is None:
        return None
    same, known, size = shared_tokens(before, now), before.prompt, now.engine.block_size
    if same >= known or same >= now.prompt or a.cache_salt != b.cache_salt:
        return None
    if a.messages and b.messages:
        return same if _goes_on(a.messages, b.messages) else None
    if a.tokens is not None or not same or known - same < size:
        return None
    return same if before.siblings <= 1 and now.siblings <= 1 else None


def _goes_on(before: Sequence[Message], now: Sequence[Message]) -> bool:
    if len(now) < len(before):
        return False
    differ = next((i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), None)
    if differ is None:
        return True
    rest = zip(before[differ + 1 :], now[differ + 1 :], strict=False)
    return any(a == b for a, b in rest)
