"""Quotes: answers that are found at the beginning of a conversation, as summaries are."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence

from weft.service.recognition.known_requests import digest

_SHORTEST = 32  # bytes of a passage that tells anything
_MOST = 16  # passages of an answer
_LINES = 4000  # conversations of which an answer is remembered
_MESSAGES = 3  # that a summary may stand in
_LOOKED_AT = 1 << 18  # bytes of each
_between = re.compile(rb"[\n<>]+")
_NOBODY = ""


class Quotes:
    """Which conversation an answer is from.

    A client that compacts has the model sum up the conversation, and begins anew with what it
    said, perhaps without tags and reminders around it. So lines are looked for, not texts. What
    two conversations have said tells nothing.
    """

    def __init__(self) -> None:
        self._said: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._owners: dict[int, str] = {}

    def remember(self, line: str, kind: int, text: str) -> None:
        """A conversation's last answer.

        Args:
            line: the conversation.
            kind: of agent; the answers of another are not looked for.
            text: the answer, or its end.
        """
        found = list(dict.fromkeys(_passages(text.encode("utf-8", "replace"), kind)))[-_MOST:]
        self.know(line, found)

    def know(self, line: str, said: Sequence[int]) -> None:
        """The same, by what `said_by` gave."""
        self.forget(line)
        if not said:
            return
        self._said[line] = tuple(said)
        for one in said:
            self._owners[one] = _NOBODY if one in self._owners else line
        if len(self._said) > _LINES:
            self.forget(next(iter(self._said)))

    def forget(self, line: str) -> None:
        """Forget what a conversation said."""
        for one in self._said.pop(line, ()):
            if self._owners.get(one) == line:
                del self._owners[one]

    def said_by(self, line: str) -> Sequence[int]:
        """What is remembered of a conversation's last answer; to be kept, for `know`."""
        return self._said.get(line, ())

    def find(self, kind: int, messages: Sequence[bytes]) -> str:
        """The conversation whose answer begins another one; empty if there is none."""
        if not self._owners:
            return _NOBODY
        found: Counter[str] = Counter()
        for message in messages[:_MESSAGES]:
            passages = set(_passages(message[:_LOOKED_AT], kind))
            found.update(self._owners.get(one, _NOBODY) for one in passages)
        del found[_NOBODY]
        for line, count in found.most_common(1):
            if 2 * count >= len(self._said[line]):
                return line
        return _NOBODY


def _passages(text: bytes, kind: int) -> Iterator[int]:
    for part in _between.split(text):
        part = part.strip()
        if len(part) >= _SHORTEST:
            yield digest(part, kind)
