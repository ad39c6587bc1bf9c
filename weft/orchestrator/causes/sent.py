"""What engines were sent: the calls, and the blocks of their prompts and answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weft.cache.prefix import PrefixIndex
from weft.orchestrator.causes.shared import shared_blocks

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.replica import Replica
    from weft.orchestrator.dispatch.ticket import Ticket
    from weft.types import Request

EVICTIONS = 8192  # of one engine that are known


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
        begun: whether its answer had begun.
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
    begun: bool = False
    there: int = 0
    beside: tuple[SentCall | None, int] = (None, 0)


@dataclass(eq=False, slots=True)
class Past:
    """What one engine had: all that it was sent, for longer than it can hold it.

    Attributes:
        sent: since the engine is up.
        before: it was down the last time, if it ever was.
        running: calls that it answers.
        evictions: who had blocks evicted, by the first of them.
        acting: the call that starts or ends.
        index: what it is believed to hold.
    """

    sent: PrefixIndex
    before: PrefixIndex | None = None
    running: dict[Ticket, SentCall] = field(default_factory=dict["Ticket", SentCall])
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


def insert(index: PrefixIndex, hashes: Sequence[int], call: SentCall) -> None:
    """Note the blocks of a call."""
    hold = index.open(hashes)
    index.grow(hold, hashes, min(len(hashes), index.capacity))
    index.close(hold, call)


def had(past: Past, hashes: Sequence[int], known: int) -> int:
    """Blocks that an engine had, if there are more than are known of."""
    most = max(past.sent.match(hashes), known)
    for one in past.running.values():
        # Hashes are chained: with the next one, all before it are the same.
        if most < len(hashes) and most < len(one.hashes) and one.hashes[most] == hashes[most]:
            most = shared_blocks(one.hashes, hashes)
    return most


def owner_of(index: PrefixIndex, hashes: Sequence[int], block: int) -> SentCall | None:
    """Who last had a block."""
    at = 0
    for owner, blocks in index.owners(hashes):
        at += blocks
        if at > block:
            return owner if isinstance(owner, SentCall) else None
    return None
