"""An answer told from the calls in it, while its text comes."""

from __future__ import annotations

from weft.parsers.tool_calls import MARKS

_JSON = ("{", "[", "`")
"""How an answer begins that may be calls as a whole."""


class AnswerBeforeCalls:
    """Gives of a text that comes in pieces what is surely no call of a tool.

    All that was given is the beginning of what `read_calls` says of the whole text, whatever the
    pieces are, but for space at its beginning.
    """

    def __init__(self) -> None:
        self._held = ""
        self._begun = self._over = False

    def feed(self, piece: str) -> str:
        """Take more of the text; gives what is surely more of the answer."""
        if self._over:
            return ""
        text, self._held = self._held + piece, ""
        if not self._begun:
            text = text.lstrip()
            if not text:
                return ""
            self._over = text.startswith(_JSON)
            if self._over:
                return ""
        ends = [at for mark in MARKS if (at := text.find(mark)) >= 0]
        if ends:
            self._over = True
            sure = text[: min(ends)].rstrip()
        else:
            sure = text[: len(text) - _begun(text)].rstrip()
            self._held = text[len(sure) :]
        self._begun = self._begun or bool(sure)
        return sure


def _begun(text: str) -> int:
    """How many characters at a text's end may be the beginning of a call."""
    for length in range(min(max(map(len, MARKS)) - 1, len(text)), 0, -1):
        tail = text[-length:]
        if any(mark.startswith(tail) for mark in MARKS):
            return length
    return 0
