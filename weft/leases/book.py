"""LeaseBook: which blocks are held for whom, and which are given up first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from weft.leases.directive import Directive
from weft.leases.terms import LeaseTerms, Terms


@dataclass(eq=False, slots=True)
class Lease(Terms):
    """Blocks that are kept under one id.

    Attributes:
        blocks: in the order of the sequence; ends are given up before beginnings.
    """

    blocks: list[int] = field(default_factory=list[int])


class LeaseBook:
    """All leases of one engine, with blocks by their numbers.

    Args:
        clock: seconds, monotonic.
        tenant_share: see `LeaseTerms`.
    """

    def __init__(self, clock: Callable[[], float], tenant_share: int | None = None) -> None:
        self._terms = LeaseTerms(Lease, lambda lease: len(lease.blocks), clock, tenant_share)
        self._holders: dict[int, set[Lease]] = {}

    @property
    def leases(self) -> dict[str, Lease]:
        """By their ids."""
        return self._terms.leases

    @property
    def given_up(self) -> Counter[str]:
        """How many blocks were given up, by cause."""
        return self._terms.given_up

    def holds(self, block: int) -> bool:
        """Whether a lease holds a block."""
        return block in self._holders

    @property
    def held(self) -> int:
        """How many blocks are held."""
        return len(self._holders)

    def grant(self, directive: Directive, blocks: Sequence[int]) -> list[int]:
        """Hold the blocks of a request; gives those that are superseded, and held no longer."""
        superseded = self.supersede(directive, set(blocks))
        lease = self._terms.granted(directive)
        lease.blocks = list(dict.fromkeys([*lease.blocks, *blocks]))
        for block in lease.blocks:
            self._holders.setdefault(block, set()).add(lease)
        return superseded

    def supersede(self, directive: Directive, blocks: Collection[int]) -> list[int]:
        """What a lease holds and a new turn of it does not use; it is held no longer."""
        lease = self._terms.superseded(directive)
        if lease is None:
            return []
        gone = set(lease.blocks) - set(blocks)
        freed = self._drop(lease, gone, "superseded")
        lease.blocks = [block for block in lease.blocks if block not in gone]
        return freed

    def end(self, id: str, cause: str) -> list[int]:
        """End a lease; gives the blocks that are held no longer, ends of the sequence first.

        Args:
            id: of the lease; with a `*` at its end all whose ids begin so.
            cause: why it ends.
        """
        return self._dropped(self._terms.ended(id), cause)

    def sweep(self) -> list[int]:
        """End the leases whose time is over; gives the blocks that are held no longer."""
        return self._dropped(self._terms.over(), "time")

    def give_up(self, count: int, free: Collection[int]) -> list[int]:
        """Give up at least so many of the free blocks, or all that there are.

        See `LeaseTerms.worst_first` for the order of leases. Of a lease the end goes first: what is
        left is a prefix, and of use. A block goes when no other lease holds it.
        """
        given: list[int] = []
        for lease in self._terms.worst_first():
            if len(given) >= count:
                break
            kept = list[int]()
            for block in reversed(lease.blocks):
                if len(given) >= count or block not in free:
                    kept.append(block)
                    continue
                given += self._drop(lease, (block,), "need")
            lease.blocks = kept[::-1]
            if not kept:
                del self.leases[lease.id]
        return given

    def gone(self, blocks: Iterable[int]) -> None:
        """Blocks that hold something else from now on."""
        for block in blocks:
            for lease in self._holders.pop(block, ()):
                if block in lease.blocks:
                    lease.blocks.remove(block)
                    self.given_up["lost"] += 1

    def clear(self) -> list[int]:
        """End all leases; gives what was held."""
        held = list(self._holders)
        self.leases.clear()
        self._holders.clear()
        return held

    def _dropped(self, leases: Iterable[Lease], cause: str) -> list[int]:
        return [b for lease in leases for b in self._drop(lease, lease.blocks[::-1], cause)]

    def _drop(self, lease: Lease, blocks: Iterable[int], cause: str) -> list[int]:
        """Take a lease from blocks; gives those that no other lease holds."""
        freed: list[int] = []
        for block in blocks:
            holders = self._holders.get(block)
            if holders is None:
                continue
            holders.discard(lease)
            if not holders:
                del self._holders[block]
                freed.append(block)
        if freed:
            self.given_up[cause] += len(freed)
        return freed
