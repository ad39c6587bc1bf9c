"""LeasedIndex: a prefix index in which held blocks are forgotten last, as in vLLM with leases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from weft.cache.prefix import Hold, PrefixIndex, PrefixNode, PrefixRelease
from weft.leases.directive import Directive
from weft.leases.terms import AT_ONCE, LeaseTerms, Terms

_SWEEP = 1.0
"""Seconds between looks for leases whose time is over."""


@dataclass(eq=False, slots=True)
class _RunLease(Terms):
    """A lease on paths from the root.

    Attributes:
        ends: the runs where the paths end, in the order in which they were granted.
    """

    ends: list[PrefixNode] = field(default_factory=list[PrefixNode])


class LeasedIndex(PrefixIndex):
    """The blocks of an engine with leases (see `weft.leases`), in runs.

    What `HeldLast` does with blocks is done here with runs: each run counts the paths of leases
    that go through it, and free runs with any are in no queue to be evicted. A run may not go
    before those that branch off from it. So where a run is forgotten first, so is what goes on
    from it, even what no lease had; vLLM keeps the latter for a while, though nothing finds it.

    Args:
        blocks: how many blocks the engine has.
        clock: seconds, monotonic.
        tenant_share: see `LeaseTerms`.

    Attributes:
        leased: blocks that leases hold, free or not.
    """

    def __init__(
        self, blocks: int, clock: Callable[[], float], tenant_share: int | None = None
    ) -> None:
        self._clock, self._swept = clock, -math.inf
        self._terms = LeaseTerms(_RunLease, _size, clock, tenant_share)
        self.leased = 0
        super().__init__(blocks)

    @property
    def leases(self) -> int:
        """How many there are."""
        return len(self._terms.leases)

    @property
    def given_up(self) -> dict[str, int]:
        """How many blocks were given up, by cause."""
        return self._terms.given_up

    def clear(self) -> None:
        """Forget everything, leases too."""
        self._terms.leases.clear()
        self.leased, self.room = 0, self.capacity
        self._needed: int | None = None
        super().clear()

    def come(self, directive: Directive) -> None:
        """Do what a request that comes says of leases that end."""
        self.sweep()
        for id in directive.release:
            self._end(self._terms.ended(id), "released")
        for id in directive.forget:
            self._end(self._terms.ended(id), "forgotten")

    def sweep(self) -> None:
        """End the leases whose time is over; looks once a second."""
        now = self._clock()
        if now - self._swept >= _SWEEP:
            self._swept = now
            self._end(self._terms.over(), "time")

    def supersede(self, directive: Directive, hold: Hold) -> None:
        """What a conversation held and goes on without is forgotten first.

        Args:
            directive: of the request that goes on.
            hold: the request's.
        """
        lease = self._terms.superseded(directive)
        if lease is None:
            return
        path, ends = set(_runs(hold.node)), lease.ends
        lease.ends = []
        freed: list[PrefixRelease] = []
        for end in reversed(ends):
            top = end
            while top.parent is not None and top not in path:
                top = top.parent
            freed += self._withdraw(end, top, "superseded")
            if top.parent is not None:
                lease.ends.append(top)
        # They lie on one path: the deepest stands for all.
        lease.ends.sort(key=lambda one: one.end)
        for top in lease.ends[:-1]:
            self._withdraw(top, self._root, "superseded")
        del lease.ends[:-1]
        self._forget(freed)

    def grant(self, directive: Directive, hold: Hold) -> None:
        """Hold what a request leaves behind; its hold is closed after that."""
        self.supersede(directive, hold)
        lease = self._terms.granted(directive)
        end = hold.node
        if end.parent is None or end in lease.ends:
            return
        path = set(_runs(end))
        for run in path:
            if not run.leases:
                self.leased += run.end - run.start
            run.leases += 1
        while lease.ends and lease.ends[-1] in path:
            self._withdraw(lease.ends.pop(), self._root, "superseded")
        lease.ends.append(end)

    def lose(self, hold: Hold, owner: object = None) -> None:
        """Close a hold of which the blocks are worthless: they are forgotten first."""
        end = hold.node
        self.close(hold, owner)
        if end.release is not None and not end.leases:
            self._to_front(end.release)

    def note_told(self, leased: int, needed: int) -> None:
        """Follow what the engine told of its leases.

        Blocks that aren't held here are held for others: they are as good as taken, until there is
        need of their room. If only leases of this index gave up blocks, those were evicted of which
        the index knows nothing.

        Args:
            leased: blocks that the engine's leases hold.
            needed: blocks that they gave up for need since the engine began.
        """
        self.changes += 1
        others = leased - self.leased
        self.room = self.capacity - (others if others > 0 else 0)
        mine = self._terms.given_up["need"]
        if self._needed is None or others > 0:
            self._needed = needed - mine
        elif (more := min(needed - mine - self._needed, self.held)) > 0:
            free = self.room - self.cached - self._private
            self._give_up(more)
            super()._make_room(free + more)

    def _make_room(self, blocks: int) -> None:
        short = self.pinned + self.held + blocks - self.room
        if short > 0:
            self.room += (others := min(short, self.capacity - self.room))
            if short > others:
                self._give_up(max(short - others, AT_ONCE))
        super()._make_room(blocks)

    def _give_up(self, count: int) -> None:
        """Give up at least so many free blocks, or all that there are; see `LeaseBook.give_up`."""
        least = self.held - count
        for lease in self._terms.worst_first():
            if self.held <= least:
                break
            kept: list[PrefixNode] = []
            for end in reversed(lease.ends):
                top = end
                left = self.held - least
                while left > 0 and top.parent is not None and not top.pins:
                    if top.leases == 1:
                        if top.end - top.start > left:
                            top = self._split(top, top.end - left)
                            break
                        left -= top.end - top.start
                    top = top.parent
                self._release(self._withdraw(end, top, "need"))
                if top.parent is not None:
                    kept.append(top)
            lease.ends = kept[::-1]
            if not kept:
                del self._terms.leases[lease.id]

    def _end(self, leases: Iterable[_RunLease], cause: str) -> None:
        freed = [
            release
            for lease in leases
            for end in reversed(lease.ends)
            for release in self._withdraw(end, self._root, cause)
        ]
        if cause == "forgotten":
            self._forget(freed)
        else:
            self._release(freed)

    def _withdraw(self, end: PrefixNode, top: PrefixNode, cause: str) -> list[PrefixRelease]:
        """Take a lease from the runs between `top` and `end`; gives what no lease holds now.

        Only free blocks are given, as a release that is in no queue yet.
        """
        self.changes += 1
        release, run = PrefixRelease(None, end), end
        while run is not top:
            assert run.parent is not None
            run.leases -= 1
            if not run.leases:
                blocks = run.end - run.start
                self._terms.given_up[cause] += blocks
                self.leased -= blocks
                if run.release is not None:
                    self.held -= blocks
                    release.owner = release.owner or run.release.owner
                    release.blocks += blocks
                    run.release = release
            run = run.parent
        self._join_path(end)
        return [release] if release.blocks else []

    def _release(self, freed: list[PrefixRelease]) -> None:
        """They are the newest of those that no lease holds."""
        for release in freed:
            self._releases[release] = None

    def _forget(self, freed: list[PrefixRelease]) -> None:
        """They go first."""
        self._release(freed)
        for release in reversed(freed):
            self._to_front(release)

    def _to_front(self, release: PrefixRelease) -> None:
        """A release goes first, but for what goes on from its blocks."""
        head = release.tail
        while head.parent is not None and head.parent.release is release:
            head = head.parent
        seen: set[PrefixRelease] = set()
        runs = [head]
        while runs:
            run = runs.pop()
            if run.release is not None and run.release not in seen:
                seen.add(run.release)
                self._releases.move_to_end(run.release, last=False)
            runs += run.children.values()


def _runs(end: PrefixNode) -> Iterator[PrefixNode]:
    """The runs from one up to the root."""
    while end.parent is not None:
        yield end
        end = end.parent


def _size(lease: _RunLease) -> int:
    return sum(run.end - run.start for run in {run for end in lease.ends for run in _runs(end)})
