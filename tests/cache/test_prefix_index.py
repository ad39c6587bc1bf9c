from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from weft.cache.block_hashes import block_hashes
from weft.cache.prefix import PrefixIndex

tokens = st.lists(st.integers(0, 2), max_size=40)
tail = st.lists(st.integers(0, 1), min_size=1, max_size=8)


@given(tokens, tokens, st.integers(1, 8))
def test_hashes_agree_exactly_on_the_shared_whole_blocks(a, b, size):
    ha, hb = block_hashes(a, size), block_hashes(b, size)
    assert (len(ha), len(hb)) == (len(a) // size, len(b) // size)
    shared = 0
    while shared < min(len(a), len(b)) and a[shared] == b[shared]:
        shared += 1
    equal = [x == y for x, y in zip(ha, hb, strict=False)]
    assert all(equal[: shared // size])
    assert not any(equal[shared // size :])


@given(tokens, st.integers(1, 8), st.data())
def test_hashes_go_on_from_known_ones(ids, size, data):
    hashes = block_hashes(ids, size)
    known = hashes[: data.draw(st.integers(0, len(hashes)))]
    assert block_hashes(ids, size, known) == hashes
    assert block_hashes(tuple(ids), size, tuple(known)) == hashes


class Pool:
    """Blocks one by one, as vLLM's block pool has them, but no content twice."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.clear()

    def clear(self):
        self.pins = {}
        self.free = []  # cached and unpinned, next victim first
        self.owner = {}
        self.private = 0

    @property
    def pinned(self):
        return sum(1 for n in self.pins.values() if n) + self.private

    def match(self, hashes):
        return next((i for i, h in enumerate(hashes) if h not in self.pins), len(hashes))

    def pinned_match(self, hashes):
        return next((i for i, h in enumerate(hashes) if not self.pins.get(h)), len(hashes))

    def pin(self, hashes):
        for h in hashes:
            if h in self.free:
                self.free.remove(h)
            self.pins[h] = self.pins.get(h, 0) + 1

    def make_room(self, blocks):
        while len(self.pins) + self.private + blocks > self.capacity:
            victim = self.free.pop(0)
            del self.pins[victim]

    def grow(self, hashes):
        """Pin these, which follow on what the hold has."""
        held = self.match(hashes)
        fresh = sum(1 for h in hashes if not self.pins.get(h))
        if self.pinned + fresh > self.capacity:
            return False
        self.pin(hashes[:held])
        self.make_room(len(hashes) - held)
        self.pin(hashes[held:])
        return True

    def release(self, hashes, owner):
        for h in reversed(hashes):
            self.pins[h] -= 1
            if not self.pins[h]:
                self.free.append(h)
                self.owner[h] = owner

    def owners(self, hashes):
        return [None if self.pins[h] else self.owner[h] for h in hashes]


class AgainstThePool(RuleBasedStateMachine):
    @initialize(capacity=st.integers(6, 24), tails=st.lists(tail, min_size=3, max_size=5))
    def start(self, capacity, tails):
        self.index, self.pool = PrefixIndex(capacity), Pool(capacity)
        self.holds = []  # [hold, hashes, private blocks]
        self.chains = []
        for at, ids in enumerate(tails):
            self.chains.append([*(self.chains[at // 2][: 2 * at] if at else ()), *ids])
        self.closed = 0

    def hashes(self, which):
        return block_hashes(self.chains[which % len(self.chains)], 1)

    @rule(which=st.integers(0, 99), at=st.integers(0, 8), ids=tail)
    def branch(self, which, at, ids):
        self.chains.append([*self.chains[which % len(self.chains)][:at], *ids])

    @rule(which=st.integers(0, 99), most=st.none() | st.integers(0, 12), more=st.integers(0, 12))
    def run(self, which, most, more):
        hashes = self.hashes(which)
        hold = self.index.open(hashes, most)
        assert hold.blocks == self.pool.match(hashes[:most])
        self.pool.pin(hashes[: hold.blocks])
        self.holds.append([hold, hashes, 0])
        self.grow(-1, more)

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 99), more=st.integers(0, 12))
    def grow(self, which, more):
        entry = self.holds[which % len(self.holds)]
        hold, hashes, _ = entry
        had = hold.blocks
        blocks = min(had + more, len(hashes))
        grown = self.index.grow(hold, hashes, blocks)
        assert grown == self.pool.grow(hashes[had:blocks])
        assert hold.blocks == (blocks if grown else had)

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 99), ids=tail)
    def answer(self, which, ids):
        """A hold goes on with a longer list."""
        entry = self.holds[which % len(self.holds)]
        hold, hashes, _ = entry
        ids = next(c for c in self.chains if block_hashes(c, 1) == hashes)[: hold.blocks] + ids
        self.chains.append(ids)
        entry[1] = block_hashes(ids, 1)

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 99), blocks=st.integers(0, 8))
    def private(self, which, blocks):
        entry = self.holds[which % len(self.holds)]
        more = blocks - entry[2]
        fits = self.pool.pinned + more <= self.pool.capacity
        assert self.index.private(entry[0], blocks) == fits
        if fits:
            self.pool.make_room(more)
            self.pool.private += more
            entry[2] = blocks
        assert entry[0].private == entry[2]

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 99))
    def close(self, which):
        hold, hashes, private = self.holds.pop(which % len(self.holds))
        self.closed += 1
        self.pool.release(hashes[: hold.blocks], self.closed)
        self.pool.private -= private
        self.index.close(hold, self.closed)
        self.index.close(hold, "again")

    @rule(chance=st.integers(0, 9))
    def clear(self, chance):
        if chance:
            return
        self.index.clear()
        self.pool.clear()
        for entry in self.holds:
            assert (entry[0].blocks, entry[0].private) == (0, 0)
            entry[2] = 0

    @invariant()
    def same(self):
        if not hasattr(self, "index"):
            return
        index, pool = self.index, self.pool
        assert index.pinned == pool.pinned <= index.capacity
        assert index.cached == len(pool.pins)
        assert index.cached + pool.private <= index.capacity
        assert index.free == index.capacity - index.pinned
        for ids in self.chains[-8:]:
            hashes = block_hashes(ids, 1)
            assert index.match(hashes) == pool.match(hashes)
            assert index.pinned_match(hashes) == pool.pinned_match(hashes)
            owners = [owner for owner, blocks in index.owners(hashes) for _ in range(blocks)]
            assert owners == pool.owners(hashes[: pool.match(hashes)])

    @invariant()
    def compressed(self):
        """No run is split without a reason."""
        if not hasattr(self, "index"):
            return
        nodes = [self.index._root]
        while nodes:
            node = nodes.pop()
            nodes += node.children.values()
            assert all(child.parent is node for child in node.children.values())
            if node is not self.index._root and len(node.children) == 1:
                (child,) = node.children.values()
                assert (child.pins, child.release) != (node.pins, node.release)


TestAgainstThePool = AgainstThePool.TestCase
TestAgainstThePool.settings = settings(stateful_step_count=30)


def test_a_fan_out_shares_its_prompt_from_the_moment_it_is_scheduled():
    index = PrefixIndex(100)
    prompt = list(range(50))
    first = index.open(prompt)
    assert (first.blocks, index.grow(first, prompt, 50)) == (0, True)
    siblings = [index.open(prompt, 49) for _ in range(3)]
    assert [hold.blocks for hold in siblings] == [49] * 3
    assert (index.pinned, index.cached, index.free) == (50, 50, 50)


def test_two_holds_that_grow_the_same_chain_share_it():
    index = PrefixIndex(10)
    chain = list(range(8))
    a, b = index.open(chain), index.open(chain)
    assert index.grow(a, chain, 8)
    assert index.grow(b, chain, 6)
    assert (a.blocks, b.blocks, index.pinned) == (8, 6, 8)
    index.close(a)
    assert (index.pinned, index.cached) == (6, 8)


def test_an_allocation_that_does_not_fit_changes_nothing():
    index = PrefixIndex(10)
    old = list(range(100, 106))
    hold = index.open(old)
    assert index.grow(hold, old, 6)
    index.close(hold, "old")
    new = list(range(12))
    hold = index.open(new)
    assert not index.grow(hold, new, 11)
    assert (index.match(old), hold.blocks, index.pinned) == (6, 0, 0)
    assert index.grow(hold, new, 10)
    assert not index.private(hold, 1)
    assert (index.match(old), hold.blocks, index.pinned) == (0, 10, 10)


def test_what_was_released_first_goes_first_and_its_tail_before_its_head():
    index = PrefixIndex(10)
    a, b = list(range(4)), list(range(10, 14))
    for name, chain in (("a", a), ("b", b)):
        hold = index.open(chain)
        assert index.grow(hold, chain, 4)
        index.close(hold, name)
    hold = index.open([])
    assert index.private(hold, 5)
    assert (index.match(a), index.match(b)) == (1, 4)
