"""Rewritten: conversations known again of which the beginning was changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from weft.service.recognition.known_requests import History, KnownRequest, Said, digest
from weft.service.recognition.openings import Openings, opening_of, openings_of
from weft.service.recognition.passages import Passages, last_of

_BASES = 8  # under which one history is remembered
_SKETCHES = 1000  # of system prompts and tools that are remembered
_LINES = 400  # of one that are, its beginning and its end among them
_LINE = 256  # bytes of a line that count
_END = 32  # bytes of its beginning and its end
_NOTHING = frozenset[int]()


class Rewritten:
    """Finds the conversation of a request that extends none, as far as can be told.

    - The system prompt or the tools were changed, as by a date, or by a tool server that joined:
      the messages are known. If several have them, the one counts whose system prompt and tools
      are most like it.
    - Messages were changed, or cut away: `Passages`. Clients add reminders to the last message,
      say, that they don't keep.
    - Reminders in the first message were changed, and several conversations have that message:
      `Openings`.

    Args:
        most: requests that are remembered; those not seen for longest go.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bodies: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._later: OrderedDict[int, None] = OrderedDict()  # bodies of requests that went on
        self._sketches: OrderedDict[int, frozenset[int]] = OrderedDict()
        self._passages = Passages(2 * most)
        self._openings = Openings(most, self._bodies)

    def find(self, heads: Mapping[int, KnownRequest], history: History, host: str) -> str:
        """The conversation; empty if there is none, or if two fit.

        Args:
            heads: known requests, by the digests of their histories.
            history: of the request.
            host: of the client.
        """
        body, chain = history.body, history.chain
        for count in range(len(body), 0, -1):
            last = chain[count - 1]
            whole = count == len(body)  # then a first request that is equal begins a program
            if whole and last not in self._later:
                continue
            bases, get = self._bodies.get(last, ()), heads.get
            known = [head for b in bases if (head := get(last ^ b)) and not (whole and head.first)]
            if known and (head := self._likest(known, history)) is not None:
                return head.next(host)
        return self.find_by_messages(heads, history, host) if len(body) > 1 else ""

    def find_by_messages(
        self, heads: Mapping[int, KnownRequest], history: History, host: str
    ) -> str:
        """The conversation of a request whose beginning tells nothing; empty as for `find`.

        Args:
            heads: known requests, by the digests of their histories.
            history: of the request; of more than one message.
            host: of the client.
        """

        def likest(known: list[KnownRequest]) -> KnownRequest | None:
            return self._likest(known, history)

        if line := self._openings.find(heads, history, host, likest):
            return line
        if line := self._passages.find(history.root, history.body):
            self._openings.go_on(heads, history, line)
        return line

    def remember(self, line: str, history: History, known: int, first: bool) -> Said:
        """A request of a conversation has come; returns what `know` takes after a restart.

        Args:
            line: the conversation.
            history: of the request.
            known: how many of its messages are not new.
            first: whether the conversation begins with it.
        """
        root, lead, base, body, chain = history
        if not body:
            return 0, 0, 0
        self._note(chain[-1], base)
        if not first:
            self._note_later(chain[-1])
        if lead and base not in self._sketches:
            self._sketches[base] = _sketch(lead)
            if len(self._sketches) > _SKETCHES:
                self._sketches.popitem(last=False)
        last = last_of(body)
        if first:
            if len(body) == 1 and last is not body[0]:
                self._openings.note(opening_of(body[0], last, root), history.last)
        elif not known:
            self._openings.note(openings_of(history)[-1], history.last)
        return self._passages.remember(line, root, body, known, first, last)

    def know(self, line: str, last: int, base: int, said: Said) -> None:
        """A conversation has got so far, as another process says.

        Args:
            line: the conversation.
            last: stands for its messages.
            base: stands for its system prompt and tools.
            said: from `remember`.
        """
        self._note(last, base)
        self._note_later(last)
        self._passages.know(line, said)

    def _note(self, last: int, base: int) -> None:
        """There is a history of such messages, behind such a system prompt and tools."""
        bases = self._bodies.get(last)
        if bases is None:
            self._bodies[last] = (base,)
            if len(self._bodies) > self._most:
                self._bodies.popitem(last=False)
        else:
            self._bodies.move_to_end(last)
            if bases[-1] != base:
                if base in bases:
                    at = bases.index(base)
                    bases = bases[:at] + bases[at + 1 :]
                self._bodies[last] = (*bases[-_BASES + 1 :], base)

    def _note_later(self, last: int) -> None:
        """A conversation has gone on to such messages."""
        self._later[last] = None
        if len(self._later) > self._most:
            self._later.popitem(last=False)

    def _likest(self, known: list[KnownRequest], history: History) -> KnownRequest | None:
        """The request whose tools and system prompt are most like these; of equals the latest.

        None if they have nothing in common with any: that is another agent with this history.
        """
        own = self._sketches.get(history.base) or _sketch(history.lead)

        def likeness(head: KnownRequest) -> tuple[bool, int]:
            sketch = self._sketches.get(head.base)
            common = 1 if sketch is None and head.base else len(own & (sketch or _NOTHING))
            return any(not place.live for place in head.waiting) and common > 0, common

        found = max(reversed(known), key=likeness)
        return found if likeness(found)[1] else None


def _sketch(lead: Sequence[bytes]) -> frozenset[int]:
    """Digests of the tools as a whole, and of a system prompt's lines, beginning and end.

    Digits are left out: they are of dates.
    """
    found: set[int] = set()
    for piece in lead:
        parts = [piece[:_END], piece[-_END:]]
        start = piece.find(b"\n") + 1  # behind the role
        while start and len(parts) < _LINES:
            end = piece.find(b"\n", start)
            parts.append(piece[start : min(end, start + _LINE) if end >= 0 else start + _LINE])
            start = end + 1
        bare = b"\0".join(parts).translate(None, b"0123456789")  # the roles end lines too
        found.update([digest(part) for part in bare.split(b"\0") if part])
    return frozenset(found)
