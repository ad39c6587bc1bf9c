"""What engines were sent: the calls, and the blocks of their prompts and answers."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weft.orchestrator.causes.shared import shared_blocks

if TYPE_CHECKING:
    from weft.cache.prefix import PrefixIndex
    from weft.orchestrator.dispatch.replica import Replica
    from weft.orchestrator.dispatch.ticket import Ticket
    from weft.types import Request

EVICTIONS = 8192  # of one engine that are known


class SentBlocks:
    """Blocks that were sent, and the last call that had each: the latest, half of them at least.

    Hashes are chained, and a call notes its whole chain: who has a block has all before it. Two
    tables take turns, so that no block has to be found to be forgotten.

    Args:
        most: blocks that are known at most.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._new: dict[int, SentCall] = {}
        self._old: dict[int, SentCall] = {}

    def note(self, hashes: Sequence[int], call: SentCall) -> None:
        """A call had these blocks."""
        if len(self._new) > self.most // 2:
            self._old, self._new = self._new, {}
        new = self._new
        for hash in hashes:
            new[hash] = call

    def match(self, hashes: Sequence[int]) -> int:
        """How many leading blocks are known."""
        known = _leading(self._new, hashes)
        return max(known, _leading(self._old, hashes)) if self._old else known

    def owner(self, hash: int) -> SentCall | None:
        """Who last had a block; None if it is not known."""
        return self._new.get(hash) or self._old.get(hash)


def _leading(table: dict[int, SentCall], hashes: Sequence[int]) -> int:
    if not hashes or hashes[0] not in table:
        return 0
    if hashes[-1] in table:
        return len(hashes)
    return bisect_left(hashes, 1, key=lambda hash: hash not in table)


@dataclass(eq=False, slots=True)
class SentCall:
    """A call as it was sent.

    Attributes:
        request: what was asked; None when that is long ago.
        prompt: tokens of its prompt.
        siblings: calls that its program made at once, itself included.
        id, program: of the call.
        engine: where it was sent.
        hashes: of its prompt's whole blocks, with its salt.
        number: counts the calls.
        there: leading blocks of the prompt that the engine was once sent.
        beside: a call that was computing the same prefix, and how many blocks they share.
    """

    request: Request | None
    prompt: int
    siblings: int
    id: str
    program: str
    engine: Replica
    hashes: Sequence[int]
    number: int
    there: int = 0
    beside: tuple[SentCall | None, int] = (None, 0)


@dataclass(eq=False, slots=True)
class Past:
    """What one engine had: all that it was sent, for longer than it can hold it.

    Attributes:
        sent: since the engine is up.
        before: what it was sent before it was down the last time, if it ever was.
        running: calls that it answers.
        computing: those of them whose answer has not begun.
        evictions: who had blocks evicted, by the first of them.
        acting: the call that starts or ends.
        index: what it is believed to hold.
    """

    sent: SentBlocks
    before: SentBlocks | None = None
    running: dict[Ticket, SentCall] = field(default_factory=dict["Ticket", SentCall])
    computing: dict[Ticket, SentCall] = field(default_factory=dict["Ticket", SentCall])
    evictions: OrderedDict[int, SentCall | None] = field(
        default_factory=OrderedDict[int, "SentCall | None"]
    )
    acting: SentCall | None = None
    index: PrefixIndex | None = None

    def note(self, chain: Sequence[int], start: int, end: int) -> None:
        """The call that acts has blocks of a chain evicted."""
        self.evictions[chain[start]] = self.acting
        self.evictions.move_to_end(chain[start])
        if len(self.evictions) > EVICTIONS:
            self.evictions.popitem(last=False)


def had(past: Past, hashes: Sequence[int], known: int) -> int:
    """Blocks that an engine had, if there are more than are known of."""
    # Hashes are chained: with the next one, all before it are the same.
    most = past.sent.match(hashes) if past.sent.owner(hashes[known]) is not None else known
    for one in past.running.values():
        if most < len(hashes) and most < len(one.hashes) and one.hashes[most] == hashes[most]:
            most = shared_blocks(one.hashes, hashes)
    return most
