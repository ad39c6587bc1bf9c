"""LeaseTerms: which leases there are, which of them end, and which give up blocks first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from weft.leases.directive import Directive

AT_ONCE = 32
"""Blocks that are given up at once, so that leases are not gone through for each new block."""


@dataclass(eq=False, slots=True)
class Terms:
    """A lease without its blocks.

    Attributes:
        id: given by the scheduler.
        turn: of the request that it was granted to.
        expires: by the clock.
        next_use: by the clock.
        tenant: whose share the lease counts in.
    """

    id: str
    turn: str = ""
    expires: float = 0.0
    next_use: float = 0.0
    tenant: str = ""


L = TypeVar("L", bound=Terms)


class LeaseTerms(Generic[L]):
    """All leases of one engine, whatever their blocks are kept in.

    Args:
        make: a lease with an id, and nothing in it.
        size: blocks of a lease.
        clock: seconds, monotonic.
        tenant_share: the most blocks that a tenant's leases hold before those of others are
            given up; None is no limit.

    Attributes:
        leases: by their ids.
        given_up: how many blocks were given up, by cause: `need`, `time`, `released`,
            `superseded`, `forgotten`, `lost`.
    """

    def __init__(
        self,
        make: Callable[[str], L],
        size: Callable[[L], int],
        clock: Callable[[], float],
        tenant_share: int | None = None,
    ) -> None:
        self.leases: dict[str, L] = {}
        self.given_up: Counter[str] = Counter()
        self._make, self._size, self._clock, self._share = make, size, clock, tenant_share

    def granted(self, directive: Directive) -> L:
        """The lease that a request asks for, with what the request says of it."""
        lease = self.leases.get(directive.lease)
        if lease is None:
            lease = self.leases[directive.lease] = self._make(directive.lease)
        now = self._clock()
        lease.turn, lease.tenant = directive.turn, directive.tenant
        lease.expires, lease.next_use = now + directive.seconds, now + directive.next_use
        return lease

    def superseded(self, directive: Directive) -> L | None:
        """The lease of which all goes that a request does not use; None if nothing goes."""
        lease = self.leases.get(directive.lease)
        if lease is None or not directive.supersedes:
            return None
        return None if directive.turn and lease.turn == directive.turn else lease

    def ended(self, id: str) -> list[L]:
        """Take out a lease; with a `*` at the id's end all whose ids begin so."""
        if id.endswith("*"):
            ids = [other for other in self.leases if other.startswith(id[:-1])]
        else:
            ids = [id]
        return [lease for one in ids if (lease := self.leases.pop(one, None)) is not None]

    def over(self) -> list[L]:
        """Take out the leases whose time is over."""
        now = self._clock()
        over = [lease for lease in self.leases.values() if lease.expires <= now]
        for lease in over:
            del self.leases[lease.id]
        return over

    def worst_first(self) -> list[L]:
        """The leases in the order in which they give up blocks that are needed.

        First those of tenants beyond their share, then those of the farthest next use. A use that
        is overdue counts as so far ahead as it is past.
        """
        now, over = self._clock(), self._over_share()
        best_first = sorted(
            self.leases.values(), key=lambda one: (one.tenant in over, abs(one.next_use - now))
        )
        return best_first[::-1]

    def _over_share(self) -> set[str]:
        if self._share is None:
            return set()
        count: Counter[str] = Counter()
        for lease in self.leases.values():
            count[lease.tenant] += self._size(lease)
        return {tenant for tenant, blocks in count.items() if blocks > self._share}
