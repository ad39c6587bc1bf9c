"""Requests as `Conversations` remembers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import xxhash

from weft.service.programs.lengths import Growth
from weft.service.programs.text_prefix import TextPrefix

WAITING = 64
"""Equal requests whose continuation is awaited."""

LEAD = 64
"""Bytes of a last message that tell what it is about."""

BEFORE = (b"system\n", b"developer\n", b"[")
"""How pieces begin that come before a conversation."""

digest = xxhash.xxh3_64_intdigest
"""What all chains are made of: of some bytes and the digest before them."""


def root_of(salt: str, adapter: str) -> int:
    """Where the prefixes of prompts with a salt, and for an adapter, begin."""
    root = digest(salt.encode()) if salt else 0
    return digest(adapter.encode(), root) if adapter else root


@dataclass(slots=True, eq=False)
class ConversationPlace:
    """A request's place in its conversation.

    Attributes:
        program: what it belongs to.
        new: whether the program begins with it.
        prefix: the hashes of its prompt.
        tokens: of its prompt, as far as can be said before it was run.
        digest: of the conversation up to here; to be kept, for `Conversations.load`.
        engine: that alone has the answer which the request goes on from; empty for any.
        head, key, tenant, model, live, failed: for `Conversations`.
    """

    program: str
    new: bool
    prefix: TextPrefix
    tokens: int
    digest: bytes
    head: KnownRequest = field(repr=False)
    key: str = field(repr=False)
    tenant: str = field(repr=False)
    model: str = field(repr=False)
    engine: str = ""
    live: bool = field(default=True, repr=False)
    unanswered: bool = field(default=False, repr=False)


@dataclass(slots=True, eq=False)
class KnownRequest:
    """A whole request.

    Its prefix may be the longer one of a request that extends it, so that of a conversation
    that grows only the latest takes memory. Heads are forgotten before those that extend them.
    """

    digest: int
    program: str  # that asked it last, or went on from it last
    first: bool  # it began a conversation
    prefix: TextPrefix | None = None
    whole: int = 0  # hashes of the prefix that are this request's
    bytes: int = 0
    rest: bytes = b""
    owned: int = 0  # hashes that nothing but it holds
    tokens: int = 0
    media: int = 0  # parts that are no text
    grown: Growth | None = None  # by such parts too, if it has
    waiting: list[ConversationPlace] = field(
        default_factory=list[ConversationPlace]
    )  # not yet gone on from, one a program

    def own(self, chunk: int, root: int) -> TextPrefix | None:
        """The prefix of this request, if it is known in such chunks."""
        prefix = self.prefix
        if prefix is None or prefix.chunk != chunk or prefix.root != root:
            return None
        if len(prefix.hashes) == self.whole:
            return prefix
        return TextPrefix(prefix.hashes[: self.whole], self.bytes, chunk, self.rest, root)

    def go_on(self, program: str) -> None:
        """A program no longer waits here."""
        if self.waiting:
            self.waiting = [one for one in self.waiting[-WAITING:] if one.program != program]
        self.program = program

    def next(self) -> str:
        """The program that goes on from here: one that was answered, if any has not gone on."""
        if self.waiting:
            place = next((one for one in self.waiting if not one.live), self.waiting[0])
            self.go_on(place.program)
        return self.program


def stem_of(pieces: Sequence[bytes], chain: list[int]) -> int:
    """What is left of a request whose last message is changed: all before it, and its beginning.

    System messages at its end are not counted. 0 if there is nothing before it.
    """
    at = len(pieces) - 1
    while at > 0 and pieces[at].startswith(BEFORE):
        at -= 1
    return digest(pieces[at][:LEAD], chain[at - 1]) if at > 0 else 0
