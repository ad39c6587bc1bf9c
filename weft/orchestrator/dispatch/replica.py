"""Replica: an engine with all that the scheduler knows of it."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weft.backends.engine import Engine
from weft.cache.prefix import PrefixIndex
from weft.orchestrator.dispatch.call_queue import CallQueue
from weft.orchestrator.dispatch.gate import Gate
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.estimates.speed import Speed
from weft.orchestrator.estimates.window import Window
from weft.orchestrator.programs.program import Program
from weft.orchestrator.views import CallView

if TYPE_CHECKING:
    from weft.cache.kv_events import ReportedIndex
    from weft.leases.leased_index import LeasedIndex
    from weft.orchestrator.dispatch.fleet import Fleet
    from weft.orchestrator.dispatch.lease_words import LeaseWords

_UNKNOWN_KV = 1 << 24  # tokens; for engines that don't say
_QUICKEST = 1e-4  # seconds a token: no engine generates as fast


class Replica:
    """An engine, its prefix index, its running calls and its claims; an `EngineView`.

    A claim is room that a program keeps between its calls. It is a promise of the scheduler's
    alone: the engine itself may evict what lies there, if calls are let in regardless.

    Args:
        engine: connected.
        speed: what is known of it; nothing by default.
    """

    def __init__(self, engine: Engine, speed: Speed | None = None) -> None:
        self.engine = engine
        self.name = engine.name
        self.alive = True
        self.retired = False
        self.draining = False
        self.error: Exception | None = None
        self.in_flight = 0
        self.programs = 0
        """Resident programs."""
        self.attached = 0
        self.queue = CallQueue()
        self.waiting_for: Ticket | None = None
        self.asked_again = -math.inf
        """When the policy is asked again, or was, by its own wish."""
        self.fleet: Fleet
        """Where it serves; set when it is taken in."""
        self.on_empty: Callable[[], None] | None = None
        """Called when its last call has ended."""
        self.speed = speed if speed is not None else Speed()
        self._window = Window()
        self._preemptions: int | None = None
        self.process = engine.process
        """Which of the processes that served there it knows."""
        self.block_size = engine.block_size
        self.concurrency = engine.concurrency
        """Calls that may run there at once: fewer for a while after it was busy."""
        self.gate = Gate(engine.concurrency, engine.rate)
        self._reset()
        self.reported: ReportedIndex | None = None
        """What the engine itself tells of its cache, if it does."""
        self._running: dict[Program, int] = {}
        self._claims: list[tuple[float, int, Program]] = []
        self._claiming: set[Program] = set()
        self._claimed = 0
        self._numbers = itertools.count()

    def _reset(self) -> None:
        """Take the engine's cache for empty."""
        blocks = max(1, (self.engine.kv_tokens or _UNKNOWN_KV) // self.block_size)
        self._leased: LeasedIndex | None = None
        if self.engine.leases:
            from weft.leases.leased_index import LeasedIndex

            self._leased = LeasedIndex(blocks, lambda: self.fleet.now)
        self.index = self._leased if self._leased is not None else PrefixIndex(blocks)
        self.capacity = blocks * self.block_size
        """Tokens of KV."""
        self.words: LeaseWords | None = None
        """What the engine is to be told of leases, once it was seen to have any."""
        self._looked: tuple[CallView | None, int, tuple[int, int]] = (None, 0, (0, 0))

    @property
    def queued(self) -> int:
        """Calls that wait for this engine only."""
        return len(self.queue)

    @property
    def reserved(self) -> int:
        """Tokens of running calls."""
        return self.index.pinned * self.block_size

    @property
    def window(self) -> float:
        """Programs that it seems to hold."""
        return self._window.limit

    @property
    def claimed(self) -> int:
        """Tokens of running calls and of claims."""
        return self.index.pinned * self.block_size + self._claimed

    @property
    def weakest(self) -> Program | None:
        """The program whose claim yields first."""
        claims = self._claims
        while claims and not self._stands(claims[0]):
            heapq.heappop(claims)
        return claims[0][2] if claims else None

    def _stands(self, entry: tuple[float, int, Program]) -> bool:
        rank, _, program = entry
        return program in self._claiming and program.rank == rank and program.acting is not None

    def cached(self, call: CallView) -> int:
        """Tokens of the prompt that are cached; its last token is always computed.

        By the engine's own reports if it gives any, together with what running calls will
        have cached; otherwise by what was sent there.
        """
        size = self.block_size
        if call.prompt_tokens <= size:
            return 0
        blocks, pinned = self._look(call)
        reported = self.reported
        if reported is not None and reported.next:
            # A call whose tokens are not known has no hashes to compare with.
            named = call.reported_hashes(size)
            if named:
                blocks = max(reported.match(named), pinned)
        whole = (call.prompt_tokens - 1) // size
        return (blocks if blocks < whole else whole) * size

    def _look(self, call: CallView) -> tuple[int, int]:
        """Blocks of the prompt that the index holds, and those pinned; looked up once a call."""
        changes = self.index.changes
        looked, then, found = self._looked
        if looked is not call or then != changes:
            found = self.index.look(call.hashes(self.block_size))
            self._looked = call, changes, found
        return found

    def need(self, call: CallView) -> int:
        """Tokens of KV to the call's expected end, beyond what running calls hold."""
        size = self.block_size
        blocks = -(-(call.prompt_tokens + call.answer_tokens) // size) - self._look(call)[1]
        return blocks * size if blocks > 0 else 0

    @property
    def full(self) -> str:
        """Why it can start no call now."""
        if self.gate.shut:
            return f"{self.name} is busy and is to be asked later"
        if self.gate.paced:
            return f"{self.name} has its rate of calls"
        return f"{self.name} is full: {self.in_flight} calls run there"

    def has_room(self, call: CallView) -> bool:
        """Whether the engine can start the call at once."""
        if not self.alive or self.in_flight >= self.concurrency or self.gate.closed:
            return False
        if self.waiting_for is not None and self.empties_for not in (None, call):
            return False
        if not self.in_flight:
            return True
        room = self.capacity - self.reserved
        # Most calls fit even if they share nothing; the index need not be asked then.
        return call.prompt_tokens + call.answer_tokens + self.block_size <= room or (
            self.need(call) <= room
        )

    @property
    def empties_for(self) -> Ticket | None:
        """The overdue call that it lets nobody else in for, if that still waits."""
        if self.waiting_for is not None and self.waiting_for.queue is None:
            self.waiting_for = None
        return self.waiting_for

    def prefill_seconds(self, tokens: int) -> float:
        """As measured; 0 if unknown."""
        return self.speed.prefill_seconds(tokens)

    def decode_seconds(self, batch: int) -> float:
        """As measured; 0 if unknown."""
        return self.speed.decode_seconds(batch)

    def start(self, ticket: Ticket) -> None:
        """Take a call in; its prompt will be cached from now on."""
        size, program = self.block_size, ticket.program
        hashes = ticket.hashes(size)
        ticket.replica, ticket.index = self, self.index
        ticket.cached = self.cached(ticket)
        index, blocks = self.index, len(hashes)
        ticket.hold = hold = index.open(hashes)
        index.grow(hold, hashes, blocks)
        expected = -(-(ticket.prompt_tokens + ticket.answer_tokens) // size) - blocks
        if expected > 0:
            free = index.free
            index.private(hold, expected if expected < free else free)
        self.in_flight += 1
        if program.home is not None and program.claim:
            program.home.unclaim(program)
        running = self._running.get(program, 0)
        self._running[program] = running + 1
        if not running:
            self.programs += 1
        context, prompt = program.context, ticket.prompt_tokens
        self.attach(program, context if context > prompt else prompt)
        program.running += 1

    def finish(
        self, ticket: Ticket, answer: Sequence[int], count: int, *, done: bool = True
    ) -> None:
        """Let a call go; what it leaves in the cache belongs to its program.

        Args:
            ticket: the call.
            answer: ids of the tokens it generated, as far as known.
            count: how many it generated.
            done: whether it ended by itself.
        """
        hold, program = ticket.hold, ticket.program
        assert hold is not None
        self.in_flight -= 1
        program.running -= 1
        left = self._running[program] - 1
        if left:
            self._running[program] = left
        else:
            del self._running[program]
            self._window.note(self.programs, self.claimed / self.capacity)
            self.programs -= 1
        if ticket.index is self.index:
            grown = ticket.call.grown(self.block_size, answer, count)
            if len(grown) > hold.blocks:
                self.index.private(hold, 0)
                self.index.grow(hold, grown, len(grown))
            keep = ticket.keep
            if self._leased is not None and keep is not None:
                if keep.lost and not done:
                    self._leased.lose(hold, program)
                else:
                    self._leased.grant(keep if done else replace(keep, supersedes=False), hold)
            self.index.close(hold, program)  # if it is not
            if self.reported is not None and self.reported.next and count:
                left = ticket.call.reported_hashes(self.block_size, answer[: count - 1])
                self.reported.expect(left)
        ticket.hold = None
        if self.on_empty is not None and not self.in_flight:
            self.on_empty()

    def learn(
        self, ticket: Ticket, cached: int | None, tokens: int, first: float, rest: float
    ) -> None:
        """Learn the engine's speed from a call that still counts as running.

        Args:
            ticket: the call.
            cached: tokens of its prompt that were cached; None if the engine did not say.
            tokens: generated.
            first: seconds to the first of them.
            rest: seconds from there to the last.
        """
        if rest < _QUICKEST * (tokens - 1):  # it was held back, for a tool call to be read from it
            self.learn_whole(ticket, cached, tokens, first + rest)
            return
        computed = ticket.prompt_tokens - (ticket.cached if cached is None else cached)
        self.speed.learn_prefill(computed, first, self.in_flight)
        if tokens > 1:
            self.speed.learn_decode(tokens - 1, rest, self.in_flight)

    def learn_whole(self, ticket: Ticket, cached: int | None, tokens: int, seconds: float) -> None:
        """The same from an answer that came at once, so many seconds after it was asked."""
        computed = ticket.prompt_tokens - (ticket.cached if cached is None else cached)
        computed = computed if computed > 0 else 0
        self.speed.learn_whole(computed, tokens, seconds, self.in_flight)

    def attach(self, program: Program, tokens: int) -> None:
        """Be the program's home; 0 tokens when it has ended."""
        if program.home is not None:
            program.home.attached -= program.attached
        program.home, program.attached = self, tokens
        self.attached += tokens

    def detach(self, program: Program) -> None:
        """Be a program's home no longer."""
        if program.home is self:
            self.attach(program, 0)
            program.home = None

    def claim(self, program: Program, tokens: int, rank: float, expires: float) -> None:
        """Keep room for a program between its calls."""
        self.unclaim(program)
        program.claim = tokens if tokens > 1 else 1
        program.rank, program.expires = rank, expires
        self._claiming.add(program)
        self.programs += 1
        self._claimed += program.claim
        heapq.heappush(self._claims, (rank, next(self._numbers), program))
        if len(self._claims) > 64 + 2 * len(self._claiming):
            self._claims = [entry for entry in self._claims if self._stands(entry)]
            heapq.heapify(self._claims)

    def unclaim(self, program: Program) -> None:
        """Give that room back."""
        if program in self._claiming:
            self._claiming.discard(program)
            self.programs -= 1
            self._claimed -= program.claim
            program.claim = 0

    @property
    def claiming(self) -> list[Program]:
        """Programs that hold a claim here."""
        return list(self._claiming)

    def keep(self, ticket: Ticket, *, lost: bool) -> Mapping[str, Any] | None:
        """What a call that begins says of leases; None to an engine that has none.

        Args:
            ticket: the call's.
            lost: whether the call is of no use if it is broken off.
        """
        if not self.engine.leases:
            return None
        if self.words is None:
            from weft.orchestrator.dispatch.lease_words import LeaseWords

            self.words = LeaseWords()
        said = self.words.said(ticket.program, ticket.id, self.fleet.profiles, lost=lost)
        if self._leased is not None and ticket.index is self._leased and ticket.hold is not None:
            self._leased.come(said)
            self._leased.supersede(said, ticket.hold)
        ticket.keep = said
        return said.json()

    def note_leased(self) -> None:
        """The engine told what its leases hold."""
        if self._leased is not None:
            self._leased.note_told(self.engine.leased, self.engine.needed)

    def note_preemptions(self, count: int) -> None:
        """The engine told how many requests it has thrown out since it began."""
        if self._preemptions is not None and count > self._preemptions:
            self._window.preempted(self.programs)
        self._preemptions = count

    def forget(self) -> None:
        """Another process serves there: what was believed of its cache and speed is void."""
        self.process, self._window, self._preemptions = self.engine.process, Window(), None
        self.speed.forget()
        self._reset()

    def take_out(self, error: Exception) -> None:
        """Take the engine out of service; its cache is gone."""
        self.alive, self.error = False, error
        self._window = Window()
        self._reset()

    def retire(self) -> None:
        """Let nothing begin here any more; what runs here ends as it would have."""
        self.alive, self.retired = False, True
