"""What an engine's prefix cache holds: chained hashes of token blocks, in runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class PrefixRelease:
    """Blocks that became free at one moment, part of one path from the root.

    Later holds take them away from the head, evictions from the tail.
    """

    owner: object
    tail: PrefixNode  # the deepest
    blocks: int = 0


@dataclass(eq=False, slots=True)
class PrefixNode:
    """Blocks `chain[start:end]`: a run with one number of pins and of leases, and one release."""

    chain: Sequence[int]
    start: int
    end: int
    parent: PrefixNode | None
    pins: int = 0
    leases: int = 0  # see LeasedIndex; like pins they grow towards the root
    release: PrefixRelease | None = None  # None while there are pins
    children: dict[int, PrefixNode] = field(default_factory=lambda: {})


@dataclass(eq=False, slots=True)
class Hold:
    """Blocks that a running call keeps in the cache.

    Attributes:
        blocks: how many leading blocks of its chain it pins.
        private: how many blocks without a hash it has besides.
    """

    blocks: int
    private: int
    node: PrefixNode = field(repr=False)  # ends where the hold ends; the root for an empty one


class PrefixIndex:
    """The block pool of one engine, as vLLM manages it.

    Blocks are pinned while calls use them and stay as cached ones afterwards. An allocation
    takes blocks that hold nothing first, then evicts the least recently released, and of one
    release the tail first. Blocks can be hit as soon as they are allocated. Unlike in vLLM no
    content is held twice: a call that comes to compute what another holds shares it.

    Chains of block hashes are kept by reference and must not change. Since an element stands
    for all before it, runs of blocks are handled as one: operations cost O(runs on the path),
    however long they are. The runs form a radix tree. Pins grow towards its root, for a hold
    pins a path from there, and so a free run has free descendants only, none released after
    it: the tail of the oldest release is always a leaf.

    Args:
        blocks: how many blocks the engine has.

    Attributes:
        capacity: as given.
        cached: blocks that hold a known prefix, pinned or free.
        pinned: blocks that holds use, private ones included.
        held: free blocks that leases hold; 0 without leases.
        changes: counts operations that may have changed what is held.
        on_evict: is called with a chain, and which of its blocks are evicted.
        room: blocks of the capacity that are not known to be kept for others.
    """

    def __init__(self, blocks: int) -> None:
        self.capacity = self.room = blocks
        self.changes = 0
        self.held: int = 0
        self.on_evict: Callable[[Sequence[int], int, int], None] | None = None
        self._holds: set[Hold] = set()
        self.clear()

    def clear(self) -> None:
        """Forget everything: the engine was restarted. Open holds hold nothing now."""
        self._root = PrefixNode((), 0, 0, None)
        self._releases: OrderedDict[PrefixRelease, None] = OrderedDict()  # oldest first
        self.cached = self.pinned = self.held = self._private = 0
        self.changes += 1
        for hold in self._holds:
            hold.blocks, hold.private, hold.node = 0, 0, self._root

    @property
    def free(self) -> int:
        """Blocks that no hold uses."""
        return self.capacity - self.pinned

    def match(self, hashes: Sequence[int]) -> int:
        """How many leading blocks are held."""
        return self._path(self._root, hashes, len(hashes))[1]

    def look(self, hashes: Sequence[int]) -> tuple[int, int]:
        """How many leading blocks are held, and how many of them are pinned."""
        nodes, held = self._path(self._root, hashes, len(hashes))
        return held, _pinned(nodes, held)

    def pinned_match(self, hashes: Sequence[int]) -> int:
        """How many leading blocks are pinned."""
        return self.look(hashes)[1]

    def open(self, hashes: Sequence[int], most: int | None = None) -> Hold:
        """Pin the leading blocks that are held.

        Args:
            hashes: of the blocks.
            most: pin at most so many.
        """
        limit = len(hashes) if most is None else min(most, len(hashes))
        hold = Hold(0, 0, self._root)
        self._holds.add(hold)
        self.changes += 1
        self._pin(hold, *self._path(self._root, hashes, limit))
        return hold

    def grow(self, hold: Hold, hashes: Sequence[int], blocks: int) -> bool:
        """Pin the first `blocks` blocks; those that are not held are allocated.

        Args:
            hold: an open hold.
            hashes: begins with the hashes of the blocks that the hold has.
            blocks: how many it is to have; nothing happens if it has as many.

        Returns:
            False if too few blocks are free; nothing has changed then.
        """
        if blocks <= hold.blocks:
            return True
        nodes, held = self._path(hold.node, hashes, blocks)
        if blocks - _pinned(nodes, held) > self.free:
            return False
        self.changes += 1
        if nodes:
            self._pin(hold, nodes, held)
        new = blocks - held
        if new:
            self._make_room(new)
            self.cached += new
            self.pinned += new
            parent = hold.node
            node = PrefixNode(hashes, held, blocks, parent, pins=1)
            parent.children[hashes[held]] = node
            self._join(node)
            hold.blocks, hold.node = blocks, node
        return True

    def private(self, hold: Hold, blocks: int) -> bool:
        """Set how many blocks without a hash the hold has.

        Returns:
            False if too few blocks are free; nothing has changed then.
        """
        more = blocks - hold.private
        if more > self.free:
            return False
        if more > 0:
            self._make_room(more)
        self.changes += 1
        self._private += more
        self.pinned += more
        hold.private = blocks
        return True

    def close(self, hold: Hold, owner: object = None) -> None:
        """End a hold; its blocks that no other hold has become free, the most recent ones.

        Args:
            hold: an open hold; nothing happens if it was closed.
            owner: whom `owners` is to name for these blocks.
        """
        if hold not in self._holds:
            return
        self._holds.remove(hold)
        self.changes += 1
        self._private -= hold.private
        self.pinned -= hold.private
        release = PrefixRelease(owner, hold.node)
        node = hold.node
        while node.parent is not None:
            node.pins -= 1
            if not node.pins:
                blocks = node.end - node.start
                self.pinned -= blocks
                if node.leases:
                    self.held += blocks
                    node.release = PrefixRelease(owner, node, blocks)  # in no queue
                else:
                    node.release = release
                    release.blocks += blocks
            node = node.parent
        self._join_path(hold.node)
        if release.blocks:
            self._releases[release] = None

    def owners(self, hashes: Sequence[int]) -> Iterator[tuple[object, int]]:
        """The leading blocks that are held: who released them last, and how many, in order.

        The owner of pinned ones is None.
        """
        nodes, matched = self._path(self._root, hashes, len(hashes))
        for node in nodes:
            owner = node.release.owner if node.release is not None else None
            yield owner, min(node.end, matched) - node.start

    def _path(
        self, node: PrefixNode, hashes: Sequence[int], limit: int
    ) -> tuple[list[PrefixNode], int]:
        """The nodes below `node` that hold blocks of `hashes[:limit]`, and how many are held.

        The last of the nodes may hold more than that.
        """
        nodes: list[PrefixNode] = []
        at = node.end
        while at < limit and (child := node.children.get(hashes[at])) is not None:
            node = child
            nodes.append(node)
            end = node.end if node.end < limit else limit
            if node.chain[end - 1] == hashes[end - 1]:
                at = end
                continue
            # They agree at `at` and not at `end - 1`: search where they part.
            low, high = at, end - 1
            while high - low > 1:
                middle = (low + high) // 2
                if node.chain[middle] == hashes[middle]:
                    low = middle
                else:
                    high = middle
            return nodes, high
        return nodes, at

    def _pin(self, hold: Hold, nodes: list[PrefixNode], end: int) -> None:
        """Pin nodes up to block `end`; they go on where the hold ends."""
        if not nodes:
            return
        if nodes[-1].end > end:
            nodes[-1] = self._split(nodes[-1], end)
        for node in nodes:
            if node.release is not None:
                blocks = node.end - node.start
                self.pinned += blocks
                if node.leases:
                    self.held -= blocks
                else:
                    node.release.blocks -= blocks
                    if not node.release.blocks:
                        del self._releases[node.release]
                node.release = None
            node.pins += 1
            self._join(node)
        hold.blocks, hold.node = end, nodes[-1]

    def _split(self, node: PrefixNode, at: int) -> PrefixNode:
        """Make a node of the head of one, up to block `at`.

        The old one stays the tail: holds and releases refer to nodes by where they end.
        """
        assert node.parent is not None
        head = PrefixNode(node.chain, node.start, at, node.parent, node.pins)
        head.leases, head.release = node.leases, node.release
        node.parent.children[node.chain[node.start]] = head
        head.children[node.chain[at]] = node
        node.start, node.parent = at, head
        return head

    def _join(self, node: PrefixNode) -> bool:
        """Have a node take in its parent if nothing tells them apart.

        No hold ends at the parent then, or it would have more pins.
        """
        parent = node.parent
        if (
            parent is None
            or parent.parent is None
            or len(parent.children) > 1
            or parent.pins != node.pins
            or parent.leases != node.leases
            or (parent.release is not node.release and not node.leases)
        ):
            return False
        node.start, node.parent = parent.start, parent.parent
        node.parent.children[node.chain[node.start]] = node
        return True

    def _join_path(self, node: PrefixNode) -> None:
        """The same for all nodes between the root and the children of a node."""
        last = node
        while node.parent is not None:
            if not self._join(node):
                node = node.parent
        self._join_child(last)

    def _join_child(self, node: PrefixNode) -> None:
        """The same from above."""
        if len(node.children) == 1:
            self._join(*node.children.values())

    def _make_room(self, blocks: int) -> None:
        """Evict what an allocation of so many blocks needs; so many are free."""
        excess = self.cached + self._private + blocks - self.room
        while excess > 0:
            # What branched off from the oldest release was older and is gone: it is one run.
            release = next(iter(self._releases))
            node = release.tail
            taken = min(excess, release.blocks)
            excess -= taken
            self.cached -= taken
            release.blocks -= taken
            node.end -= taken
            if self.on_evict is not None:
                self.on_evict(node.chain, node.end, node.end + taken)
            if not release.blocks:
                del self._releases[release]
                node.release = None  # or the two would hold each other
                assert node.parent is not None
                del node.parent.children[node.chain[node.start]]
                self._join_child(node.parent)


def _pinned(nodes: Sequence[PrefixNode], held: int) -> int:
    """How many of the blocks held on a path are pinned: pins grow towards the root."""
    for node in nodes:
        if not node.pins:
            return node.start
    return held
