"""Programs recognised by what they say: a request that extends an earlier one goes on with it."""

from __future__ import annotations

import itertools
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from weft.orchestrator.estimates.text_lengths import TextLengths, TextSize
from weft.service.recognition.known_requests import (
    ConversationPlace,
    History,
    KnownRequest,
    KnownRequests,
    grown_from,
    history_of,
    read_kept,
    root_of,
    seed_of,
)
from weft.service.recognition.line import Kept
from weft.service.recognition.restarts import Restarts
from weft.service.recognition.rewritten import Rewritten
from weft.service.recognition.text_prefix import TextPrefix

_ROUND = 2
"""Messages by which a conversation grows from one request to the next, as a rule."""


class Conversations:
    """Which program a request belongs to, what its prompt shares, and how long it is.

    A request belongs to the program of the longest earlier request that it extends, message by
    message, of the same tenant and model. That tools and system text are equal is not enough.

    - If it extends none, it may still go on with one of which the beginning was changed or cut
      (`Rewritten`), or that stopped so that this one can begin where it was (`Restarts`). Else
      it begins a program.
    - A first request equal to an earlier one begins a program too: other samples, other agents
      with the same task. Not if the client says that it sends it again, by its header or the
      same key, or if the earlier one failed: then it is the same program trying again.
    - Programs that began equally are told apart by their count: each continuation goes on with
      one of those that were answered and have not gone on yet. Which one can't be known, nor
      does it matter, for until then they are the same.
    - A later request equal to an earlier one belongs to the same program, as does a second
      continuation of one request: a branch.

    Args:
        most: requests that are remembered; those not seen for longest go.
        most_hashes: hashes that are remembered with them, of eight bytes each.
        clock: seconds.
        lengths: what is learned of prompts' lengths.
    """

    def __init__(
        self,
        most: int = 50_000,
        most_hashes: int = 8_000_000,
        clock: Callable[[], float] = time.monotonic,
        lengths: TextLengths | None = None,
    ) -> None:
        self._most = most
        self._known = KnownRequests(most, most_hashes)
        self._rewritten = Rewritten(most)
        self._restarts = Restarts(clock)
        self._answers: OrderedDict[tuple[str, str], tuple[KnownRequest, str]] = OrderedDict()
        self.lengths = lengths or TextLengths()
        self._numbers = itertools.count(1)
        self._mark = secrets.token_hex(6)  # so that ids differ from those of another start

    def __len__(self) -> int:
        return len(self._known.heads)

    @property
    def hashes(self) -> int:
        """Hashes that are held."""
        return self._known.hashes

    def find(
        self,
        tenant: str,
        model: str,
        pieces: Sequence[bytes],
        chunk: int,
        *,
        program: str = "",
        salt: str = "",
        previous: str = "",
        resent: bool = False,
        key: str = "",
        measured: tuple[History, TextPrefix] | None = None,
        asked: str = "",
        adapter: str = "",
        who: int = 0,
        host: str = "",
    ) -> ConversationPlace:
        """Take a request; call `ended` when it is over.

        Args:
            tenant: on whose behalf; ids of new programs begin with it and a `/`, if there is one.
            model: what serves it.
            pieces: of the prompt, as `Protocol.pieces` gives them; not empty.
            chunk: bytes that stand for a block of an engine.
            program: what it belongs to, if the client names it.
            salt: prompts of different ones share no prefix.
            previous: id of the answer that the pieces come after, if they are not all.
            resent: whether the client says that it sends the request again.
            key: of the request; one that comes again with the same key is the same.
            measured: the history and the prefix of the whole prompt, if they are known already.
            asked: what is asked, if something else serves it: conversations are told apart by it.
            adapter: of the model, whose prefixes are its own; empty for none.
            who: asks; what different ones say is never one conversation.
            host: where they are; counts only where more than one conversation fits.
        """
        origin, engine = self._answers.get((tenant, previous), (None, ""))
        if measured is None:
            seed = seed_of(tenant, asked or model, who, previous, origin)
            history, whole = history_of(pieces, seed), None
        else:
            history, whole = measured
        last, lead, heads = history.last, len(history.lead), self._known.heads
        head = heads.get(last)
        before, count = self._known.longest(history)
        known = lead + count if before is not None else 0
        if before is None:
            before = origin

        line, first = program, before is None
        if program:
            if before is not None:
                before.go_on(program)
        elif head is not None:
            line = self._again(head, before, resent, key, host)
        elif before is not None:
            more = len(history.body) - count
            # Requests between may have had other reminders in their first message.
            skipped = before.first and (more > _ROUND or not before.waiting)
            found = skipped and self._rewritten.find_by_messages(heads, history, host)
            line = found or before.next(host)
        else:
            line = self._rewritten.find(heads, history, host)
            first = not line
        new = not line
        if new:
            line = self._new(tenant)
            new = not history.body or self._restarts.begin(line, history, host) == line

        said = (0, 0, 0)
        if not program:
            said = self._rewritten.remember(line, history, count, first)
        if head is None:
            head = KnownRequest(last, line, first, history.base, said)
            if history.body:
                heads[last] = head
        else:
            heads.move_to_end(last)
        head.line = line
        salted = root_of(salt, adapter)
        prefix = head.own(chunk, salted)
        if prefix is None:
            more = pieces[known:]
            prefix = self._known.measure(head, before, more, pieces, chunk, salted, whole)
            head.turns = len(pieces)
            grown = grown_from(head, before, more)
            head.tokens = head.tokens or self.lengths.tokens(model, grown)
            head.grown = grown if grown.media else None
        elif prefix is not head.prefix:
            self._known.give(head, prefix, owned=head.whole)
        if not program:
            program = self._restarts.ask(line, head.bytes)
        place = ConversationPlace(
            program,
            new,
            prefix,
            head.tokens,
            line,
            head,
            key,
            tenant,
            model,
            host,
        )
        if previous:
            place.engine = engine
            place.model = ""  # not all of its prompt is known, so that nothing is learned from it
        head.go_on(line)
        head.waiting.append(place)
        self._known.trim()
        return place

    def end(
        self,
        place: ConversationPlace,
        *,
        prompt: int = 0,
        failed: bool = False,
        answer: str = "",
        engine: str = "",
        generated: int = 0,
        tool: str = "",
        text: str = "",
    ) -> None:
        """A request is over.

        Args:
            place: what `find` gave.
            prompt: tokens of its prompt; 0 if the engine did not say.
            failed: whether its client got no whole answer.
            answer: id of the answer, if later requests may go on from it.
            engine: that gave it, and holds it.
            generated: tokens of the answer.
            tool: that the answer asks for.
            text: the end of the answer, if it may be a summary of the conversation.
        """
        place.live, place.unanswered = False, failed
        head = place.head
        size = generated * self.lengths.token_bytes(place.model)
        self._restarts.answer(place.line, size, tool, failed, text)
        if prompt > 0:
            head.tokens = prompt
            if place.model and not head.media:
                self.lengths.learn(place.model, TextSize(head.turns, head.bytes), prompt)
            elif place.model and head.grown is not None:
                self.lengths.learn(place.model, head.grown, prompt)
        if answer and self._known.heads.get(head.digest) is head:
            self._answers[place.tenant, answer] = head, engine
            self._answers.move_to_end((place.tenant, answer))
            if len(self._answers) > self._most:
                self._answers.popitem(last=False)

    def tokens_in(self, size: int, model: str) -> int:
        """Tokens that so many bytes of a model's text have, as far as can be said."""
        return math.ceil(size / self.lengths.token_bytes(model))

    def end_program(self, program: str) -> None:
        """A program is over: no conversation that begins goes on with it."""
        self._restarts.end_program(program)

    def keep_line(self, program: str) -> Kept | None:
        """What must be known of a program so that a conversation can begin where it was."""
        return self._restarts.keep(program)

    def load_line(self, program: str, kept: Kept) -> None:
        """Know what `keep_line` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        self._restarts.load(program, kept)

    def rows(self) -> list[tuple[bytes, str]]:
        """Digest and program of all that is remembered, the latest at the end."""
        program = self._restarts.program
        return [(head.kept, program(head.line)) for head in self._known.heads.values()]

    def load(self, rows: Iterable[tuple[bytes, str]]) -> None:
        """Remember what another process kept: programs that go on are recognised."""
        heads = self._known.heads
        for kept, program in rows:
            number, base, said = read_kept(kept)
            if number not in heads:
                heads[number] = KnownRequest(number, program, False, base, said)
                self._rewritten.know(program, number ^ base, base, said)
        self._known.trim()

    def _new(self, tenant: str) -> str:
        """An id for a conversation that begins."""
        own = f"c-{self._mark}-{next(self._numbers)}"
        return f"{tenant}/{own}" if tenant else own

    def _again(
        self,
        head: KnownRequest,
        before: KnownRequest | None,
        resent: bool,
        key: str,
        host: str,
    ) -> str:
        """The conversation of a request equal to an earlier one; empty for a new one."""
        for place in head.waiting:
            if place.unanswered or (key and place.key == key):
                return place.line
        if resent:
            return head.line
        if head.first:
            return ""
        return before.next(host) if before is not None and before.waiting else head.line
