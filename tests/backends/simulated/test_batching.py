"""The batch, which jumps, against the same rules followed token by token."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.simulated.batching import Batch
from weft.backends.simulated.decoding import Stay
from weft.cache.prefix import Hold, PrefixIndex

BLOCK = 4


@dataclass(eq=False)
class Slow:
    """A request of the reference."""

    id: str
    prompt: int
    answer: int
    hashes: list[int]
    made: int = 0
    computed: int = 0
    cached: int | None = None
    hold: Hold | None = None
    decoding: bool = False
    first: int | None = None
    ended: int | None = None


class Reference:
    """vLLM's scheduler, request by request and step by step."""

    def __init__(self, blocks: int, concurrency: int, budget: int) -> None:
        self.index = PrefixIndex(blocks)
        self.concurrency, self.budget = concurrency, budget
        self.waiting: deque[Slow] = deque()
        self.running: list[Slow] = []
        self.steps = self.preemptions = self.prefilled = self.hit = self.generated = 0

    def allocate(self, slow: Slow, tokens: int) -> bool:
        hold = slow.hold
        assert hold is not None
        total = -(-(slow.computed + tokens) // BLOCK)
        if total - hold.blocks - hold.private > self.index.free:
            return False
        slow.computed += tokens
        whole = min(slow.computed // BLOCK, len(slow.hashes))
        if whole > hold.blocks:
            self.index.private(hold, 0)
            assert self.index.grow(hold, slow.hashes, whole)
        assert self.index.private(hold, total - hold.blocks)
        return True

    def step(self) -> bool:
        budget, preempted, taken = self.budget, False, 0
        work: list[tuple[Slow, int]] = []
        while taken < len(self.running) and budget > 0:
            slow = self.running[taken]
            tokens = min(budget, slow.prompt + slow.made - slow.computed)
            while not (fits := self.allocate(slow, tokens)):
                victim = self.running.pop()
                self.free(victim)
                victim.computed, victim.decoding = 0, False
                self.waiting.appendleft(victim)
                self.preemptions += 1
                preempted = True
                if victim is slow:
                    break
            if not fits:
                break
            budget -= tokens
            work.append((slow, tokens))
            taken += 1
        while not preempted and self.waiting and budget and len(self.running) < self.concurrency:
            slow = self.waiting[0]
            known = slow.prompt + slow.made
            most = min((known - 1) // BLOCK, len(slow.hashes))
            pinned = min(most, self.index.pinned_match(slow.hashes))
            if -(-known // BLOCK) - pinned > self.index.free:
                break
            self.waiting.popleft()
            slow.hold = self.index.open(slow.hashes, most)
            slow.computed = slow.hold.blocks * BLOCK
            slow.cached = slow.computed if slow.cached is None else slow.cached
            self.hit += slow.computed
            tokens = min(budget, known - slow.computed)
            assert self.allocate(slow, tokens)
            budget -= tokens
            self.running.append(slow)
            work.append((slow, tokens))
        if not self.running:
            assert not self.waiting
            return False
        self.steps += 1
        for slow, tokens in work:
            if not slow.decoding:
                self.prefilled += tokens
            if slow.computed < slow.prompt + slow.made:
                continue
            slow.made += 1
            slow.decoding = True
            self.generated += 1
            slow.first = slow.first or self.steps
            if slow.made == slow.answer:
                slow.ended = self.steps
                self.running.remove(slow)
                self.free(slow)
        return True

    def free(self, slow: Slow) -> None:
        assert slow.hold is not None
        self.index.close(slow.hold)
        slow.hold = None

    def drop(self, slow: Slow) -> None:
        if slow in self.running:
            self.running.remove(slow)
            self.free(slow)
        elif slow in self.waiting:
            self.waiting.remove(slow)


@dataclass(frozen=True)
class Case:
    at: int  # before which step it comes
    prompt: int
    answer: int
    after: int  # which earlier request its prompt goes on from, modulo their number
    shared: int  # most blocks that it takes over
    leaves: int | None  # before which step it is cancelled


def content(case: Case, earlier: list[Slow]) -> list[int]:
    """Hashes of blocks: nobody knows an answer before it is there."""
    taken: list[int] = []
    if earlier:
        other = earlier[case.after % len(earlier)]
        shared = min(case.shared, case.prompt // BLOCK, (other.prompt + other.made) // BLOCK)
        taken = other.hashes[:shared]
    total = (case.prompt + case.answer) // BLOCK
    return taken + [hash((len(earlier), i)) for i in range(len(taken), total)]


cases = st.builds(
    Case,
    st.integers(0, 30),
    st.integers(1, 40),
    st.integers(1, 25),
    st.integers(0, 3),
    st.integers(0, 18),
    st.none() | st.integers(0, 60),
)


def come_and_go(
    given_cases: list[Case], now: int, come: Callable[[int, Case], None], go: Callable[[int], None]
) -> None:
    for i, case in enumerate(given_cases):
        if case.at == now:
            come(i, case)
    for i, case in enumerate(given_cases):
        if case.leaves == now and case.at <= now:
            go(i)


def step_by_step(given_cases: list[Case], reference: Reference, unknown: bool) -> list[Slow]:
    slow: list[Slow] = []

    def come(i: int, case: Case) -> None:
        known = content(case, slow)
        if unknown:  # answers that nobody asks about again
            known = known[: case.prompt // BLOCK]
        slow.append(Slow(str(i), case.prompt, case.answer, known))
        reference.waiting.append(slow[-1])

    going = True
    while going or reference.steps <= max(max(c.at, c.leaves or 0) for c in given_cases):
        come_and_go(given_cases, reference.steps, come, lambda i: reference.drop(slow[i]))
        going = reference.step()
        if not going:
            reference.steps += 1  # an idle one
    return slow


def in_jumps(
    given_cases: list[Case], batch: Batch, fast: list[Stay]
) -> tuple[dict[Stay, int], dict[Stay, int], int]:
    """In which step each has its first token and its end, and how many steps were idle."""
    changes = {c.at for c in given_cases}
    changes |= {c.leaves for c in given_cases if c.leaves is not None}
    first: dict[Stay, int] = {}
    ended: dict[Stay, int] = {}
    now = idle = 0
    while True:
        come_and_go(
            given_cases, now, lambda i, _: batch.add(fast[i]), lambda i: batch.drop(fast[i])
        )
        step = batch.plan()
        assert batch.index.pinned <= batch.blocks
        coming = min((c for c in changes if c > now), default=None)
        if step is None:
            if coming is None:
                return first, ended, idle
            now += 1
            idle += 1
            continue
        assert step.prefill + step.decodes <= batch.batched_tokens
        assert step.repeats >= 1
        steps = step.repeats if coming is None else min(step.repeats, coming - now)
        now += steps
        begun, over = batch.advance(steps)
        first |= dict.fromkeys(begun, now)
        ended |= dict.fromkeys(over, now)


@given(
    st.lists(cases, min_size=1, max_size=10),
    st.integers(17, 40),
    st.integers(1, 6),
    st.integers(6, 40),
    st.booleans(),
)
def test_jumping_changes_nothing(
    given_cases: list[Case], blocks: int, concurrency: int, budget: int, unknown: bool
) -> None:
    """First tokens, ends, hits and counters, whatever comes and goes."""
    given_cases = sorted(given_cases, key=lambda case: case.at)
    reference = Reference(blocks, concurrency, budget)
    slow = step_by_step(given_cases, reference, unknown)
    batch = Batch(blocks, BLOCK, concurrency, budget)
    fast = [Stay(one.id, one.prompt, one.answer, one.hashes) for one in slow]
    first, ended, idle = in_jumps(given_cases, batch, fast)

    for one, other in zip(slow, fast, strict=True):
        assert (one.first, one.ended) == (first.get(other), ended.get(other))
        assert (one.cached, one.made) == (other.cached, other.made)
        assert batch.index.match(one.hashes) == reference.index.match(one.hashes)
    counters = batch.counters
    assert counters.preemptions == reference.preemptions
    assert counters.hit == reference.hit
    assert counters.prefilled == reference.prefilled
    assert counters.generated == reference.generated
    assert max([0, *ended.values()]) <= counters.steps + idle
    assert (batch.index.cached, batch.index.pinned) == (reference.index.cached, 0)


@pytest.mark.parametrize(("prompt", "siblings"), [(300, 4), (320, 3)])
def test_siblings_share_one_prefill(prompt: int, siblings: int) -> None:
    """As measured on vLLM: 4 cold requests of 300 tokens, blocks of 32: 288 cached for 3."""
    batch = Batch(1000, 32, 64, 2048)
    stays = [Stay(str(i), prompt, 2, [*range(prompt // 32)]) for i in range(siblings)]
    for stay in stays:
        batch.add(stay)
    step = batch.plan()
    assert step is not None
    hit = (prompt - 1) // 32 * 32
    assert [stay.cached for stay in stays] == [0] + [hit] * (siblings - 1)
    assert step.prefill == prompt + (siblings - 1) * (prompt - hit)
