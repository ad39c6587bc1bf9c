"""Requests as `Conversations` remembers them."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import xxhash

from weft.orchestrator.estimates.text_lengths import TextSize
from weft.service.protocols.media import SIZE, media_in
from weft.service.recognition.text_prefix import TextPrefix

WAITING = 64
"""Equal requests whose continuation is awaited."""

BEFORE = (b"system\n", b"developer\n", b"[")
"""How pieces begin that come before a conversation."""

Said = tuple[int, int, int]
"""Digests of what only one conversation has said, as `Passages` looks for them; 0 for none."""

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
        engine: that alone has the answer which the request goes on from; empty for any.
        line, head, key, tenant, model, host, live, unanswered: for `Conversations`.
    """

    program: str
    new: bool
    prefix: TextPrefix
    tokens: int
    line: str = field(repr=False)
    head: KnownRequest = field(repr=False)
    key: str = field(repr=False)
    tenant: str = field(repr=False)
    model: str = field(repr=False)
    host: str = field(repr=False)
    engine: str = ""
    live: bool = field(default=True, repr=False)
    unanswered: bool = field(default=False, repr=False)

    @property
    def digest(self) -> bytes:
        """Of the conversation up to here; to be kept, for `Conversations.load`."""
        return self.head.kept


@dataclass(slots=True, eq=False)
class KnownRequest:
    """A whole request.

    Its prefix may be the longer one of a request that extends it, so that of a conversation
    that grows only the latest takes memory. Heads are forgotten before those that extend them.
    """

    digest: int
    line: str  # the conversation that asked it last, or went on from it last
    first: bool  # it began a conversation
    base: int = 0  # of its system prompt and tools
    said: Said = (0, 0, 0)
    prefix: TextPrefix | None = None
    whole: int = 0  # hashes of the prefix that are this request's
    bytes: int = 0
    turns: int = 0  # pieces of its prompt
    rest: bytes = b""
    owned: int = 0  # hashes that nothing but it holds
    tokens: int = 0
    media: int = 0  # parts that are no text
    grown: TextSize | None = None  # by such parts too, if it has
    # Not yet gone on from, one a conversation. A call of `list[...]` would raise and drop an error.
    waiting: list[ConversationPlace] = field(default_factory=lambda: [])

    @property
    def kept(self) -> bytes:
        """What another process must know of it; see `read_kept`."""
        return _kept.pack(self.digest, self.base, *self.said)

    def own(self, chunk: int, root: int) -> TextPrefix | None:
        """The prefix of this request, if it is known in such chunks."""
        prefix = self.prefix
        if prefix is None or prefix.chunk != chunk or prefix.root != root:
            return None
        if len(prefix.hashes) == self.whole:
            return prefix
        return TextPrefix(prefix.hashes[: self.whole], self.bytes, chunk, self.rest, root)

    def go_on(self, line: str) -> None:
        """A conversation no longer waits here."""
        if self.waiting:
            self.waiting = [one for one in self.waiting[-WAITING:] if one.line != line]
        self.line = line

    def next(self, host: str = "") -> str:
        """The conversation that goes on from here: an answered one, if any has not gone on."""
        if self.waiting:
            answered = [one for one in self.waiting if not one.live]
            here = next((one for one in answered if one.host == host), None)
            place = here or (answered[0] if answered else self.waiting[0])
            self.go_on(place.line)
        return self.line


_kept = struct.Struct(">5Q")


def read_kept(kept: bytes) -> tuple[int, int, Said]:
    """The digests of a request, of its system prompt and tools, and of what it has said.

    Those of earlier versions end earlier.
    """
    last, base, *said = _kept.unpack(kept[: _kept.size].ljust(_kept.size, b"\0"))
    return last, base, (said[0], said[1], said[2])


class History(NamedTuple):
    """What a request says.

    Messages are chained without what comes before them, so that a conversation is known again
    if its tools or its system prompt are changed.

    Attributes:
        root: where chains of messages begin.
        lead: tools and system prompt.
        base: stands for them.
        body: the messages.
        chain: digests of the body up to each message.
    """

    root: int
    lead: Sequence[bytes]
    base: int
    body: Sequence[bytes]
    chain: Sequence[int]

    @property
    def last(self) -> int:
        """The digest of all of it."""
        return (self.chain[-1] if self.chain else self.root) ^ self.base


def seed_of(
    tenant: str, asked: str, who: int, previous: str = "", origin: KnownRequest | None = None
) -> int:
    """Where a history begins; histories of different beginnings have nothing in common.

    Args:
        tenant: on whose behalf it is.
        asked: the model that is asked.
        who: asks.
        previous: id of the answer that it comes after; what continues something unknown must not
            look like a beginning.
        origin: the request that had this answer, if it is known.
    """
    return _seed(tenant, asked, who, previous, origin.digest if origin is not None else 0)


@lru_cache(maxsize=4096)  # most requests come from few
def _seed(tenant: str, asked: str, who: int, previous: str, origin: int) -> int:
    return digest(f"{tenant}\0{asked}\0{previous}\0{who}".encode(), origin)


def history_of(pieces: Sequence[bytes], root: int) -> History:
    """The history that a request has, by the pieces of its prompt."""
    lead = 0
    last = root
    while lead < len(pieces) and pieces[lead].startswith(BEFORE):
        last = digest(pieces[lead], last)
        lead += 1
    body, base = pieces[lead:], last ^ root
    last = root
    chain: list[int] = []
    for piece in body:
        last = digest(piece, last)
        chain.append(last)
    return History(root, pieces[:lead], base, body, chain)


class KnownRequests:
    """The requests that are remembered, and the hashes that they hold.

    Args:
        most: requests; those not seen for longest go.
        most_hashes: hashes that are remembered with them, of eight bytes each.

    Attributes:
        heads: the requests by the digest of what they say, the latest at the end.
        hashes: that are held.
    """

    def __init__(self, most: int, most_hashes: int) -> None:
        self._most, self._most_hashes = most, most_hashes
        self.heads: OrderedDict[int, KnownRequest] = OrderedDict()
        self.hashes = 0

    def longest(self, history: History) -> tuple[KnownRequest | None, int]:
        """The longest earlier request that is extended, and how many messages it had."""
        get, chain, base = self.heads.get, history.chain, history.base
        for count in range(len(chain) - 1, 0, -1):
            head = get(chain[count - 1] ^ base)
            if head is not None:
                return head, count
        return None, 0

    def measure(
        self,
        head: KnownRequest,
        before: KnownRequest | None,
        more: Sequence[bytes],
        pieces: Sequence[bytes],
        chunk: int,
        root: int,
        prefix: TextPrefix | None,
    ) -> TextPrefix:
        """The prefix of a request, from that of the one before it if there is one."""
        known = before.own(chunk, root) if before is not None else None
        media, counted = 0, pieces
        if before is None or known is None:
            prefix = prefix or TextPrefix.of(pieces, chunk, root)
        else:
            prefix = prefix or known.extended(more)
            self.give(before, prefix, owned=0)
            media, counted = before.media, more
        head.whole, head.bytes, head.rest = len(prefix.hashes), prefix.bytes, prefix.rest
        head.media = media + sum(map(media_in, counted))
        self.give(head, prefix, owned=head.whole)
        return prefix

    def give(self, head: KnownRequest, prefix: TextPrefix, owned: int) -> None:
        """Have a head refer to a prefix, unless the head itself is not kept."""
        if self.heads.get(head.digest) is head:
            self.hashes += owned - head.owned
            head.prefix, head.owned = prefix, owned

    def trim(self) -> None:
        """Forget those that were not seen for longest, beyond what is to be remembered."""
        while len(self.heads) > self._most or self.hashes > self._most_hashes:
            if len(self.heads) == 1:
                break
            _, head = self.heads.popitem(last=False)
            self.hashes -= head.owned
            head.prefix, head.owned = None, 0
            head.waiting.clear()  # they know it: together they would lie about


def grown_from(head: KnownRequest, before: KnownRequest | None, more: Sequence[bytes]) -> TextSize:
    """How a request has grown from the one before it, if that one's length is known."""
    if before is None or not before.tokens:
        return TextSize(head.turns, head.bytes - head.media * SIZE, head.media)
    media = sum(map(media_in, more)) if head.media else 0
    text = sum(map(len, more)) - media * SIZE
    return TextSize(len(more), text, media, before.tokens)
