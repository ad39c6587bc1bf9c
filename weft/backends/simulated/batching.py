"""Continuous batching as vLLM v1 does it: which requests get tokens in the next step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from weft.backends.simulated.decoding import Decoding, Stay
from weft.backends.simulated.step_time import Step
from weft.cache.prefix import PrefixIndex
from weft.leases.leased_index import LeasedIndex


@dataclass(slots=True)
class BatchCounters:
    """What has happened in an engine.

    Attributes:
        steps: batches computed.
        requests: stays begun.
        preemptions: requests thrown out for want of memory, to be computed again.
        prefilled: tokens of prompts (and, after preemptions, answers) computed.
        hit: tokens that were found in the cache instead.
        generated: tokens sampled.
        busy: seconds in which a step ran.
        most_running: peak of requests running at once.
        most_used: peak of blocks in use.
    """

    steps: int = 0
    requests: int = 0
    preemptions: int = 0
    prefilled: int = 0
    hit: int = 0
    generated: int = 0
    busy: float = 0.0
    most_running: int = 0
    most_used: int = 0


class Batch:
    """Requests of one engine that wait and run, and their blocks. It knows no time.

    Every step gives each running request that has its prompt behind it one token. What is left
    of the budget goes to the prompt that is being computed, then to those that wait, first
    come, first served. A request enters when its whole prompt, as far as it isn't cached, fits
    into free blocks. When those running can't grow, the one that entered last goes back to the
    head of the queue; what it generated is a part of its prompt then. (vLLM 0.32,
    `v1/core/sched/scheduler.py`, without its speculative and asynchronous parts.)

    The new blocks of those that decode are counted in one anonymous hold; they get hashes when
    their request leaves, or when somebody could hit them.

    Args:
        blocks: blocks of the KV cache.
        block_size: tokens in a block.
        concurrency: most requests that run at once.
        batched_tokens: most tokens of a step; at least `concurrency`.
        leases: the clock of leases; None for an engine without.
    """

    def __init__(
        self,
        blocks: int,
        block_size: int,
        concurrency: int,
        batched_tokens: int,
        leases: Callable[[], float] | None = None,
    ) -> None:
        self.blocks = blocks
        self.block_size = block_size
        self.concurrency = concurrency
        self.batched_tokens = batched_tokens
        self.counters = BatchCounters()
        self._clock = leases
        self.clear()

    def clear(self) -> None:
        """Forget all requests and blocks."""
        self._leased = LeasedIndex(self.blocks, self._clock) if self._clock is not None else None
        self.index = self._leased if self._leased is not None else PrefixIndex(self.blocks)
        self.waiting: deque[Stay] = deque()
        self.running: list[Stay] = []
        self.entered: list[Stay] = []
        """Those that entered in the latest plan, preempted ones that came back included."""
        self._prompts: list[Stay] = []  # whose chunks the step computes
        self._prompt_blocks = 0  # of running requests that don't decode yet
        self._decoding = Decoding(self.block_size)
        self._hashed = 0  # blocks of running requests that can be hit
        self._unwritten: dict[int, Stay] = {}  # by the first block without a hash yet
        self._anonymous = self.index.open(())
        self._reserved = self.counters.steps  # those that decode have blocks up to this step

    def add(self, stay: Stay) -> None:
        """Put a request at the end of the queue."""
        self.counters.requests += 1
        self.waiting.append(stay)
        if self._leased is not None and stay.keep is not None:
            self._leased.come(stay.keep)

    def drop(self, stay: Stay) -> None:
        """Take out a cancelled request, between two steps. What it computed stays cached."""
        if stay.hold is not None:
            if stay.keep is not None:  # what it supersedes, it has superseded when it began
                stay.keep = replace(stay.keep, supersedes=False)
            self._leave(stay, lost=stay.keep is not None and stay.keep.lost)
        elif stay in self.waiting:
            self.waiting.remove(stay)

    def tokens_after(self, stay: Stay, steps: int) -> int:
        """Tokens generated for a request when so many further steps are done."""
        if stay.lead is None:
            return stay.made
        return stay.lead + self.counters.steps + steps + 1 - stay.prompt

    def plan(self) -> Step | None:
        """Choose what the next step computes, and give it blocks; None if there is nothing."""
        steps = self.counters.steps + 1
        if self._leased is not None:
            self._leased.sweep()
        self.entered = []
        preempted = False
        while not self._reserve(steps):
            # Those before the one that can't grow have taken all that was free.
            self.index.private(self._anonymous, self._anonymous.private + self.index.free)
            self._preempt(self.running[-1])
            preempted = True
        budget = self.batched_tokens - self._decoding.count
        if self.running and (stay := self.running[-1]).lead is None:  # its prompt goes on
            if self._extend(stay, min(budget, stay.known - stay.computed)):
                budget -= stay.chunk
            else:
                self._preempt(stay)
                preempted = True
        if not preempted:
            self._admit(budget)
        if not self.running:
            return None
        used = self.index.pinned
        counters = self.counters
        counters.most_used = max(counters.most_used, used)
        counters.most_running = max(counters.most_running, len(self.running))
        prefill = 0
        attended = context = self._decoding.tokens(steps)
        for stay in self._prompts:
            before, chunk = stay.computed - stay.chunk, stay.chunk
            prefill += chunk
            attended += chunk * before + chunk * (chunk + 1) // 2
            context += stay.computed
        counters.prefilled += prefill
        repeats = 1 if prefill or preempted else self._repeats()
        return Step(prefill, attended, self._decoding.count, context, len(self._prompts), repeats)

    def advance(self, steps: int) -> tuple[list[Stay], list[Stay]]:
        """Note that planned steps are done.

        Returns:
            The requests that have got their first token, and those that have got their last.
        """
        counters = self.counters
        counters.steps += steps
        counters.generated += steps * self._decoding.count
        if self._reserved != counters.steps:
            self._reserve(counters.steps)
        counters.most_used = max(counters.most_used, self.index.pinned)
        begun: list[Stay] = []
        ended: list[Stay] = []
        while (first := self._decoding.first()) is not None and first[0] <= counters.steps:
            ended.append(first[1])
            self._leave(first[1])
        prompts, self._prompts = self._prompts, []
        for stay in prompts:
            stay.chunk = 0
            if stay.computed < stay.known:
                continue
            stay.made += 1
            counters.generated += 1
            if stay.made == 1:
                begun.append(stay)
            if stay.made == stay.answer:
                ended.append(stay)
                self._leave(stay)
            else:
                self._decode(stay)
        return begun, ended

    def _admit(self, budget: int) -> None:
        while self.waiting and budget > 0 and len(self.running) < self.concurrency:
            stay = self.waiting[0]
            total = -(-stay.known // self.block_size)
            most = min((stay.known - 1) // self.block_size, len(stay.hashes))
            if self._unwritten:
                self._reveal(stay)
            free = self.index.free
            if total > free and total - min(most, self.index.pinned_match(stay.hashes)) > free:
                return
            self.waiting.popleft()
            hold = stay.hold = self.index.open(stay.hashes, most)
            stay.computed = hold.blocks * self.block_size
            if stay.cached is None:
                stay.cached = stay.computed
            self.counters.hit += stay.computed
            self._hashed += hold.blocks
            self._prompt_blocks += hold.blocks
            self.running.append(stay)
            self.entered.append(stay)
            fits = self._extend(stay, min(budget, stay.known - stay.computed))
            assert fits, "the whole prompt fits"
            if self._leased is not None and stay.keep is not None:
                self._leased.supersede(stay.keep, hold)
            budget -= stay.chunk

    def _reveal(self, stay: Stay) -> None:
        """Have a request hit answers that are being generated, too."""
        held = self.index.match(stay.hashes)
        while held < len(stay.hashes):
            other = self._unwritten.get(stay.hashes[held])
            if other is None or not self._write(other):
                return
            held = self.index.match(stay.hashes)

    def _extend(self, stay: Stay, chunk: int) -> bool:
        """Give a prompt's next chunk its blocks; False if too few are free."""
        end = stay.computed + chunk
        more = -(-end // self.block_size) + (-stay.computed // self.block_size)
        if more > self.index.free:
            return False
        stay.computed, stay.chunk = end, chunk
        self._prompts.append(stay)
        self._prompt_blocks += more
        self._write(stay)
        self._reserve(self._reserved)
        return True

    def _write(self, stay: Stay) -> bool:
        """Give a running request's blocks their hashes; whether there were any without."""
        hold = stay.hold
        assert hold is not None
        computed = stay.computed if stay.lead is None else stay.lead + self._reserved
        blocks = min(computed // self.block_size, len(stay.hashes))
        more = blocks - hold.blocks
        if more <= 0:
            return False
        self._hide(stay)
        anonymous = self._anonymous
        self.index.private(anonymous, max(0, anonymous.private - more))
        fits = self.index.grow(hold, stay.hashes, blocks)
        assert fits, "its blocks were counted already"
        self._hashed += more
        if stay.lead is not None:
            self._show(stay)
        return True

    def _show(self, stay: Stay) -> None:
        assert stay.hold is not None
        if stay.hold.blocks < len(stay.hashes):
            self._unwritten.setdefault(stay.hashes[stay.hold.blocks], stay)

    def _hide(self, stay: Stay) -> None:
        assert stay.hold is not None
        if stay.hold.blocks < len(stay.hashes):
            first = stay.hashes[stay.hold.blocks]
            if self._unwritten.get(first) is stay:
                del self._unwritten[first]

    def _decode(self, stay: Stay) -> None:
        """Its prompt is computed."""
        self._prompt_blocks += -stay.computed // self.block_size
        self._decoding.begin(stay, self.counters.steps)
        self._show(stay)

    def _leave(self, stay: Stay, *, lost: bool = False, back: bool = False) -> None:
        """Take a running request out and free its blocks; they stay cached.

        Args:
            stay: the request's.
            lost: whether what it leaves is worthless.
            back: whether it will come back.
        """
        hold = stay.hold
        assert hold is not None
        self._hide(stay)
        self.running.remove(stay)
        if stay.lead is None:
            self._prompt_blocks += -stay.computed // self.block_size
        else:
            self._decoding.end(stay, self.counters.steps)
        self._hashed -= hold.blocks
        self._reserve(self._reserved)
        blocks = min(stay.computed // self.block_size, len(stay.hashes))
        self.index.grow(hold, stay.hashes, blocks)
        if self._leased is not None and stay.keep is not None and not back:
            if lost:
                self._leased.lose(hold)
            elif stay.keep.lease:
                self._leased.grant(stay.keep, hold)
        self.index.close(hold)  # if it is not
        stay.hold = None

    def _preempt(self, stay: Stay) -> None:
        self.counters.preemptions += 1
        self._leave(stay, back=True)
        stay.computed = 0
        self.waiting.appendleft(stay)

    def _reserve(self, steps: int) -> bool:
        """Have as many anonymous blocks as sequences need in a step; False if they can't."""
        blocks = self._decoding.blocks(steps) + self._prompt_blocks - self._hashed
        if blocks != self._anonymous.private and not self.index.private(self._anonymous, blocks):
            return False
        self._reserved = steps
        return True

    def _repeats(self) -> int:
        """Steps until a sequence ends or can't grow."""
        first = self._decoding.first()
        assert first is not None
        end, steps, blocks = first[0], self.counters.steps, self._decoding.blocks
        free = self.index.free
        if ((end - steps) // self.block_size + 1) * self._decoding.count <= free:
            return end - steps  # more than enough
        now = blocks(steps + 1)
        if blocks(end) - now <= free:
            return end - steps
        fits, fails = steps + 1, end
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if blocks(middle) - now <= free:
                fits = middle
            else:
                fails = middle
        return fits - steps
