"""The tokenizer of a scripted engine: which tokens a text and a conversation are made of."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from weft.backends.scripted.script import written
from weft.types import Message, Role

END = 0
"""The token that ends an answer."""

ROLES: dict[Role, int] = {"system": 1, "user": 2, "assistant": 3, "tool": 4}
"""The tokens that begin a turn."""

FIRST = 8
"""The token of the character, or byte, with code 0."""

PIECE = FIRST + 0x110000
"""The token of the first piece."""


class Vocabulary:
    """The tokens of texts. By itself, every character is one token.

    Args:
        pieces: texts that are one token each; of those that fit, the longest is taken.
        bytes: whether all else is a token for each byte in UTF-8, not for each character.
    """

    def __init__(self, pieces: Sequence[str] = (), *, bytes: bool = False) -> None:
        self.pieces, self.bytes = tuple(pieces), bytes
        longest = sorted(self.pieces, key=len, reverse=True)
        self._ids = {piece: PIECE + at for at, piece in enumerate(self.pieces)}
        self._find = re.compile("|".join(map(re.escape, longest))) if longest else None

    @property
    def size(self) -> int:
        """All ids are below."""
        return PIECE + len(self.pieces)

    def encode(self, text: str) -> tuple[int, ...]:
        """A text's tokens."""
        if self._find is None:
            return self._letters(text)
        tokens: list[int] = []
        at = 0
        for match in self._find.finditer(text):
            tokens += (*self._letters(text[at : match.start()]), self._ids[match[0]])
            at = match.end()
        return (*tokens, *self._letters(text[at:]))

    def _letters(self, text: str) -> tuple[int, ...]:
        if self.bytes:
            return tuple([byte + FIRST for byte in text.encode("utf-8", "surrogatepass")])
        return tuple([ord(character) + FIRST for character in text])

    def raw(self, token: int) -> bytes:
        """What a token says, in UTF-8; those that mark turns say nothing."""
        if token < FIRST:
            return b""
        if token >= PIECE:
            return self.pieces[token - PIECE].encode()
        if self.bytes:
            return bytes((token - FIRST,))
        return chr(token - FIRST).encode("utf-8", "surrogatepass")

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, up to their last whole character."""
        if self.bytes or self.pieces:
            return text_decoder().decode(b"".join(map(self.raw, tokens)))
        return "".join([chr(token - FIRST) for token in tokens if token >= FIRST])

    def render(self, messages: Sequence[Message], *, open: bool) -> tuple[int, ...]:
        """A conversation's tokens."""
        tokens: list[int] = []
        for index, message in enumerate(messages):
            content = message.content
            if message.calls:
                content = written(content, message.calls)
            tokens += [ROLES[message.role], *self.encode(content)]
            if message.role == "assistant" and not (open and index == len(messages) - 1):
                tokens.append(END)
        return tuple(tokens) if open else (*tokens, ROLES["assistant"])

    def parse(self, tokens: Sequence[int]) -> tuple[tuple[Message, ...], bool]:
        """The conversation that `render` made tokens of, and whether its last answer is open."""
        names: dict[int, Role] = {token: role for role, token in ROLES.items()}
        turns: list[tuple[Role, list[int]]] = []
        for token in tokens:
            if token in names:
                turns.append((names[token], []))
            elif turns:
                turns[-1][1].append(token)
        messages = tuple(Message(role, self.decode(content)) for role, content in turns)
        if turns and turns[-1][0] == "assistant" and END not in turns[-1][1]:
            return (messages, True) if turns[-1][1] else (messages[:-1], False)
        return messages, False

    def begun(self, tokens: Sequence[int]) -> bytes:
        """The bytes at the end of tokens that are no whole character yet."""
        if not self.bytes:
            return b""
        decoder = text_decoder()
        decoder.decode(b"".join(map(self.raw, tokens[-3:])))
        return decoder.getstate()[0]


def text_decoder() -> codecs.IncrementalDecoder:
    """Makes text of bytes as they come, up to the last whole character."""
    return codecs.getincrementaldecoder("utf-8")("replace")


CHARACTERS = Vocabulary()
"""The vocabulary in which every character is a token."""
