"""LeaseBook: which blocks are held for whom, and which are given up first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from weft.leases.directive import Directive


@dataclass(eq=False, slots=True)
class Lease:
    """Blocks that are kept under one id.

    Attributes:
        id: given by the scheduler.
        blocks: in the order of the sequence; ends are given up before beginnings.
        turn: of the request that it was granted to.
        expires: by the clock.
        next_use: by the clock.
        tenant: whose share the lease counts in.
    """

    id: str
    blocks: list[int] = field(default_factory=list[int])
    turn: str = ""
    expires: float = 0.0
    next_use: float = 0.0
    tenant: str = ""


class LeaseBook:
    """All leases of one engine.

    Args:
        clock: seconds, monotonic.
        tenant_share: the most blocks that a tenant's leases hold before those of others are
            given up; None is no limit.

    Attributes:
        leases: by their ids.
        given_up: how many blocks were given up, by cause: `need`, `time`, `released`,
            `superseded`, `forgotten`, `lost`.
    """

    def __init__(self, clock: Callable[[], float], tenant_share: int | None = None) -> None:
        self.leases: dict[str, Lease] = {}
        self.given_up: Counter[str] = Counter()
        self._clock, self._share = clock, tenant_share
        self._holders: dict[int, set[Lease]] = {}

    def holds(self, block: int) -> bool:
        """Whether a lease holds a block."""
        return block in self._holders

    @property
    def held(self) -> int:
        """How many blocks are held."""
        return len(self._holders)

    def grant(self, directive: Directive, blocks: Sequence[int]) -> list[int]:
        """Hold the blocks of a request; gives those that are superseded, and held no longer."""
        now = self._clock()
        lease = self.leases.setdefault(directive.lease, Lease(directive.lease))
        superseded = self.supersede(directive, set(blocks))
        lease.blocks = list(dict.fromkeys([*lease.blocks, *blocks]))
        for block in lease.blocks:
            self._holders.setdefault(block, set()).add(lease)
        lease.turn, lease.tenant = directive.turn, directive.tenant
        lease.expires, lease.next_use = now + directive.seconds, now + directive.next_use
        return superseded

    def supersede(self, directive: Directive, blocks: Collection[int]) -> list[int]:
        """What a lease holds and a new turn of it does not use; it is held no longer."""
        lease = self.leases.get(directive.lease)
        if lease is None or not directive.supersedes:
            return []
        if directive.turn and lease.turn == directive.turn:
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
        if id.endswith("*"):
            ids = [other for other in self.leases if other.startswith(id[:-1])]
        else:
            ids = [id]
        leases = [lease for one in ids if (lease := self.leases.pop(one, None)) is not None]
        return [b for lease in leases for b in self._drop(lease, lease.blocks[::-1], cause)]

    def sweep(self) -> list[int]:
        """End the leases whose time is over; gives the blocks that are held no longer."""
        now = self._clock()
        over = [lease.id for lease in self.leases.values() if lease.expires <= now]
        return [block for id in over for block in self.end(id, "time")]

    def give_up(self, count: int, free: Collection[int]) -> list[int]:
        """Give up at least so many of the free blocks, or all that there are.

        First those of tenants beyond their share, then those of the farthest next use. A use that
        is overdue counts as so far ahead as it is past. Of a lease the end goes first: what is
        left is a prefix, and of use. A block goes when no other lease holds it.
        """
        now = self._clock()
        over = self._over_share()
        leases = self.leases.values()
        best_first = sorted(leases, key=lambda one: (one.tenant in over, abs(one.next_use - now)))
        given: list[int] = []
        for lease in reversed(best_first):
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

    def _over_share(self) -> set[str]:
        if self._share is None:
            return set()
        count: Counter[str] = Counter()
        for lease in self.leases.values():
            count[lease.tenant] += len(lease.blocks)
        return {tenant for tenant, blocks in count.items() if blocks > self._share}
