"""Passages: what only one conversation has said, by which it is known again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from weft.service.recognition.known_requests import BEFORE, Said, digest

_SHORTEST = 48  # bytes of a message that tells anything
_END = 48  # bytes at a message's beginning and at its end that do
_LOOKED_AT = 3  # messages whose ends are looked at, at a history's beginning and at its end
_AROUND = b" \t\r\n\x1e"
_NAME = 64  # bytes of a tag
_BLOCKS = 16  # at a message's beginning, and at its end, that are left out
_NEAR = 8  # bytes between a tag and the end of its message
_OPENS, _CLOSES = re.compile(rb"<([\w-]+)[^<>]*>"), re.compile(rb"</([\w-]+)>")
_ANSWER = b"assistant\n"
_NOBODY = ""


class Passages:
    """Which conversation said what.

    A history that was trimmed, or of which the system prompt and the first message changed at
    once, has no beginning in common with the requests before it. But it holds messages that
    nobody else has said: answers, tools' results, or the end of what the person had asked.
    What two conversations have said tells nothing.

    - Of what came after a conversation's first request, whole messages count, one of each
      request: the answer as a rule. The first request is what agents with the same task, or in
      the same folder, have in common.
    - Of each last message, which clients change later, beginning and end count, without what
      stands in tags before or behind (`bare`); but only in a history that goes on after it with
      an answer: else it is the same task given again.

    Args:
        most: messages and ends of messages that are remembered; the oldest go.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._whole, self._ends = _Owners(most), _Owners(most)

    def remember(
        self, line: str, space: int, pieces: Sequence[bytes], new: int, first: bool, last: bytes
    ) -> Said:
        """A conversation has gone on; returns what `know` takes after a restart.

        Args:
            line: the conversation.
            space: who speaks; what others say is looked for apart.
            pieces: its messages.
            new: where those begin that were not known.
            first: whether the conversation begins with them.
            last: what `last_of` gives of them.
        """
        whole = end = 0
        said = b"" if first else pieces[new] if new else _latest_answer(pieces)
        if len(said) >= _SHORTEST:
            whole = digest(said, space)
            self._whole.add(whole, line)
        beginning = digest(last[:_END], space)
        self._ends.add(beginning, line)
        if len(last) > _END:
            end = digest(last[-_END:], space)
            self._ends.add(end, line)
        return whole, beginning, end

    def know(self, line: str, said: Said) -> None:
        """A conversation has said what `remember` gave."""
        whole, *ends = said
        if whole:
            self._whole.add(whole, line)
        for end in ends:
            if end:
                self._ends.add(end, line)

    def find(self, space: int, pieces: Sequence[bytes]) -> str:
        """The conversation that a history is of; empty if that is not certain."""
        votes: dict[str, int] = {}
        for piece in pieces:
            if len(piece) >= _SHORTEST:
                _count(votes, self._whole.get(digest(piece, space)))
        if any(piece.startswith(_ANSWER) for piece in pieces[:-1]):
            earlier = pieces[:-1]
            for piece in {bare(one) for one in (*earlier[:_LOOKED_AT], *earlier[-_LOOKED_AT:])}:
                for end in {piece[:_END], piece[-_END:]}:
                    _count(votes, self._ends.get(digest(end, space)))
        ranked = sorted(votes.items(), key=lambda item: -item[1])
        if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
            return _NOBODY
        return ranked[0][0]


def last_of(pieces: Sequence[bytes]) -> bytes:
    """The last message that is not the system's, bare."""
    last = pieces[-1]
    if last.startswith(BEFORE):
        last = next((one for one in reversed(pieces) if not one.startswith(BEFORE)), last)
    return bare(last)


def _latest_answer(pieces: Sequence[bytes]) -> bytes:
    return next((one for one in reversed(pieces) if one.startswith(_ANSWER)), b"")


def bare(message: bytes) -> bytes:
    """A message without the blocks in tags at its beginning and end, such as reminders.

    One that is nothing else keeps the first of them: `<task>`, say. Of many only some are left out.
    """
    start = message.find(b"\n") + 1
    head, tail = message[start : start + _NEAR].lstrip(_AROUND), message[-_NEAR:].rstrip(_AROUND)
    if not head.startswith(b"<") and not tail.endswith(b">"):
        return message
    role, text = message[:start], message[start:]
    text = text.strip(_AROUND)
    for _ in range(_BLOCKS):  # each looks through the text
        closes = _CLOSES.fullmatch(text, max(0, text.rfind(b"</", -_NAME)))
        if closes is None:
            break
        start = text.rfind(b"<" + closes[1])
        if start <= 0:
            break
        text = text[:start].rstrip(_AROUND)
    for _ in range(_BLOCKS):
        found = _OPENS.match(text)
        if found is None:
            break
        end = text.find(b"</%b>" % found[1])
        rest = text[end + len(found[1]) + 3 :].lstrip(_AROUND) if end >= 0 else b""
        if not rest:
            break
        text = rest
    return role + text


class _Owners:
    """Who said what, in two halves: the older one goes when the newer one is full."""

    __slots__ = ("_most", "_new", "_old")

    def __init__(self, most: int) -> None:
        self._most = most // 2
        self._new: dict[int, str] = {}
        self._old: dict[int, str] = {}

    def add(self, passage: int, line: str) -> None:
        """A conversation has said it."""
        known = self._new.get(passage)
        if known is None:
            known = self._old.get(passage, line)
            if len(self._new) >= self._most:
                self._old, self._new = self._new, {}
            self._new[passage] = line if known == line else _NOBODY
        elif known != line:
            self._new[passage] = _NOBODY

    def get(self, passage: int) -> str:
        """The only one who said it."""
        known = self._new.get(passage)
        return self._old.get(passage, _NOBODY) if known is None else known


def _count(votes: dict[str, int], line: str) -> None:
    if line:
        votes[line] = votes.get(line, 0) + 1
