"""Misses: why a prompt was not found in the cache."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from weft.cache.block_hashes import salted
from weft.orchestrator.causes.cause import Miss, MissCause
from weft.orchestrator.causes.sent import Past, SentBlocks, SentCall, had
from weft.orchestrator.causes.shared import rendered_otherwise, shared_blocks, shared_tokens

if TYPE_CHECKING:
    from weft.orchestrator.dispatch.replica import Replica
    from weft.orchestrator.dispatch.ticket import Ticket

_MORE = 8  # times an engine's cache of which is known that it was there
_MOST = 1 << 18  # blocks of one engine of which that is known
_CALLS = 256  # whose requests are held
_TOKENS = 1 << 20  # of all their prompts
_PROGRAMS = 4096  # of which the latest call is known


class Misses:
    """Follows calls from their start to their end; says of each what it missed, and why."""

    def __init__(self) -> None:
        self._pasts: dict[Replica, Past] = {}
        self._salted, self._salts = SentBlocks(_MOST), False  # without their salt
        self._last: OrderedDict[str, SentCall] = OrderedDict()  # of each program
        self._superseding: OrderedDict[str, SentCall] = OrderedDict()
        self._recent: deque[SentCall] = deque()
        self._tokens = 0  # of their prompts
        self._count = 0

    def starting(self, ticket: Ticket, replica: Replica) -> None:
        """A call is about to start on an engine."""
        size = replica.block_size
        hashes, program = ticket.hashes(size), ticket.program.id
        self._count += 1
        request, prompt, siblings = ticket.call.request, ticket.prompt_tokens, ticket.siblings
        call = SentCall(request, prompt, siblings, ticket.id, program, replica, hashes, self._count)
        past = self._past(replica)
        for other in past.computing.values():
            if (shared := shared_blocks(other.hashes, hashes)) > call.beside[1]:
                call.beside = other, shared
        call.there = past.sent.match(hashes)
        past.running[ticket] = past.computing[ticket] = past.acting = call
        self._hold(call)

    def _hold(self, call: SentCall) -> None:
        """Let the requests of the oldest calls go, if there are more than may be held."""
        self._recent.append(call)
        self._tokens += call.prompt
        while len(self._recent) > _CALLS or (self._tokens > _TOKENS and len(self._recent) > 1):
            gone = self._recent.popleft()
            gone.request = None
            self._tokens -= gone.prompt

    def begun(self, ticket: Ticket) -> None:
        """A call's answer begins: its prompt is computed."""
        if ticket.replica is not None and ticket.replica in self._pasts:
            self._pasts[ticket.replica].computing.pop(ticket, None)

    def ending(
        self, ticket: Ticket, answer: Sequence[int], count: int, cached: int | None
    ) -> list[Miss]:
        """A call ends; gives what of its prompt was computed, by cause, in the prompt's order.

        Args:
            ticket: the call.
            answer: ids of the tokens it generated, as far as known.
            count: how many it generated.
            cached: tokens of its prompt that were cached; None if the engine did not say.
        """
        assert ticket.replica is not None
        past = self._past(ticket.replica)
        call = past.running.pop(ticket, None)
        past.computing.pop(ticket, None)
        if call is None:
            return []
        past.acting = call
        misses = [] if cached is None else list(self._found(call, ticket, cached, past))
        call.beside = (None, 0)  # or each would hold the one before it
        size, salt = call.engine.block_size, ticket.call.request.cache_salt
        left = ticket.call.grown(size, answer, count)
        past.sent.note(left, call)
        if salt:
            self._salts = True
            self._salted.note(salted(left, salt), call)
        _latest(self._last, call)
        if ticket.keep is not None and ticket.keep.supersedes:
            _latest(self._superseding, call)
        return misses

    def _past(self, replica: Replica) -> Past:
        past = self._pasts.get(replica)
        if past is None:
            for gone in [
                one for one, its in self._pasts.items() if one.retired and not its.running
            ]:
                del self._pasts[gone]
            blocks = min(_MOST, replica.index.capacity * _MORE)
            past = self._pasts[replica] = Past(SentBlocks(blocks))
        if past.index is not replica.index:  # it was down, or is new
            if past.index is not None:
                past.before, past.sent = past.sent, SentBlocks(past.sent.most)
            past.index = replica.index
            past.index.on_evict = past.note
            past.evictions.clear()
        return past

    def _found(self, call: SentCall, ticket: Ticket, cached: int, past: Past) -> Iterator[Miss]:
        """The causes, one behind the other from the first token that was not cached."""
        size, prompt = call.engine.block_size, ticket.prompt_tokens
        at = min(cached, prompt)
        end = min((prompt - 1) // size, len(call.hashes)) * size  # of whole blocks
        if at < end:
            for miss in self._blocks(call, ticket, at, end, past):
                yield miss
                at += miss.tokens
        same = 0
        if ticket.call.request.tokens is not None:  # else only whole blocks can be compared
            before = self._before(call, past, at // size)
            same = max((shared_tokens(one, call) for one in before), default=0)
        last = self._last.get(call.program)
        if last is not None and at < prompt and (n := rendered_otherwise(last, call)) is not None:
            if n > at:
                yield Miss("boundary", n - at, at)
            start = max(n, at)
            if (more := min(last.prompt, prompt) - start) > 0:
                yield _blamed("differs", more, start, last)
                at = start + more
        elif at < prompt and (more := min(same, prompt) - at) > 0:
            yield Miss("boundary", more, at)
            at += more
        elif 0 < prompt - at <= size and call.there * size > end:
            yield Miss("boundary", prompt - at, at)
            at = prompt
        if at < prompt:
            yield Miss("new", prompt - at, at)

    def _blocks(
        self, call: SentCall, ticket: Ticket, at: int, end: int, past: Past
    ) -> Iterator[Miss]:
        """The causes for which whole blocks were computed, as far as they had been sent before."""
        size, hashes = call.engine.block_size, call.hashes
        other, shared = call.beside
        if (more := min(shared * size, end) - at) > 0:
            yield _blamed("sibling", more, at, other)
            at += more
        if (more := min(call.there * size, end) - at) > 0:
            yield from self._lost(past, hashes, at // size, more, size)
            at += more
        # Hashes are chained: who was not sent the next block was sent none behind it.
        if (
            past.before is not None
            and at < end
            and (owner := past.before.owner(hashes[at // size]))
        ):
            more = min(past.before.match(hashes) * size, end) - at
            yield _blamed("down", more, at, owner)
            at += more
        for replica, elsewhere in self._pasts.items() if at < end else ():
            if replica is call.engine or replica.fleet is not call.engine.fleet:
                continue
            if (more := min(had(elsewhere, hashes, at // size) * size, end) - at) > 0:
                owner = elsewhere.sent.owner(hashes[at // size])
                yield _blamed("elsewhere", more, at, owner, replica.name)
                at += more
                if at >= end:
                    return
        if at < end:
            for blocks, owner in self._other_salts(call, ticket, at // size):
                if (more := min(blocks * size, end) - at) > 0:
                    yield _blamed("salt", more, at, owner)
                    return

    def _lost(
        self, past: Past, hashes: Sequence[int], block: int, tokens: int, size: int
    ) -> Iterator[Miss]:
        """Why an engine no longer had what it was sent, from a block on."""
        owner = past.sent.owner(hashes[block + tokens // size - 1])
        later = None
        if owner is not None and owner.engine.engine.leases:
            later = self._superseding.get(owner.program)
            if later is not None and later.number <= owner.number:
                later = None
        kept = tokens
        if later is not None:
            kept = min(tokens, max(0, shared_blocks(later.hashes, hashes) - block) * size)
        if kept:
            yield _blamed("evicted", kept, block * size, past.evictions.get(hashes[block]))
        if kept < tokens:
            yield _blamed("superseded", tokens - kept, block * size + kept, later)

    def _other_salts(
        self, call: SentCall, ticket: Ticket, block: int
    ) -> Iterator[tuple[int, SentCall | None]]:
        """Leading blocks that were sent under another salt, or under none, and by whom."""
        salt = ticket.call.request.cache_salt
        if not salt and not self._salts:
            return
        plain = salted(call.hashes, salt) if salt else call.hashes
        pasts = [past.sent for past in self._pasts.values()] if salt else []
        for index in (self._salted, *pasts):
            yield index.match(plain), index.owner(plain[block])

    def _before(self, call: SentCall, past: Past, block: int) -> list[SentCall]:
        """Calls that may share some tokens more than whole blocks."""
        owner = past.sent.owner(call.hashes[block - 1]) if block else None
        found = (self._last.get(call.program), owner)
        return [one for one in found if one is not None]


def _latest(calls: OrderedDict[str, SentCall], call: SentCall) -> None:
    calls[call.program] = call
    calls.move_to_end(call.program)
    if len(calls) > _PROGRAMS:
        calls.popitem(last=False)


def _blamed(
    cause: MissCause, tokens: int, at: int, call: SentCall | None, engine: str = ""
) -> Miss:
    if call is None:
        return Miss(cause, tokens, at, engine=engine)
    return Miss(cause, tokens, at, call.id, call.program, engine)
