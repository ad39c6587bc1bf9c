"""Openings: histories that differ in reminders alone, and who has not gone on from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from weft.service.recognition.folders import folder_in
from weft.service.recognition.known_requests import (
    BEFORE,
    WAITING,
    ConversationPlace,
    History,
    KnownRequest,
    digest,
)
from weft.service.recognition.passages import bare

_ASKS, _OUTPUT = (b"user\n", b"tool\n", *BEFORE), b"\x1eoutput"
"""Marks of what a client says: of messages, and of items of responses."""

_BEGINS = 48  # bytes by which the beginning of a text is found

Choose = Callable[[list[KnownRequest]], KnownRequest | None]


class Openings:
    """Finds the conversation of a request of which the first message has other reminders now.

    Several sessions may have the same task, and the first that each says by itself is its answer.
    So they are told apart by counting, as those are that begin equally: what goes on from a
    history takes over one of the conversations that were answered there, and have not gone on.

    Histories go by their opening: their digest without the reminders.

    Args:
        most: openings that are remembered; those not seen for longest go.
        bodies: what stands before requests, by the digests of their messages.
    """

    def __init__(self, most: int, bodies: Mapping[int, tuple[int, ...]]) -> None:
        self._most, self._bodies = most, bodies
        self._requests: OrderedDict[int, tuple[int, ...]] = OrderedDict()

    def note(self, opening: int, request: int) -> None:
        """There is a request of such an opening, by its whole digest."""
        known = self._requests.get(opening, ())
        if request not in known:
            self._requests[opening] = (*known[-WAITING + 1 :], request)
            self._requests.move_to_end(opening)
            if len(self._requests) > self._most:
                self._requests.popitem(last=False)

    def find(
        self, heads: Mapping[int, KnownRequest], history: History, host: str, choose: Choose
    ) -> str:
        """The conversation that a request goes on with; empty if there is none.

        Args:
            heads: known requests, by their digests.
            history: of the request.
            host: of the client.
            choose: takes the request that is most like it; None if none is.
        """
        chain = openings_of(history)
        for count in range(len(chain) - 1, 0, -1):
            known = self._known(heads, chain[count - 1])
            if known:
                if not _is_round(history.body[count:]):
                    return ""
                known = [head for head in known if _waiting(head, host) is not None]
                head = choose(known) if known else None
                place = _waiting(head, host) if head is not None else None
                if head is None or place is None:
                    return ""
                head.go_on(place.line)
                return place.line
        return ""

    def go_on(self, heads: Mapping[int, KnownRequest], history: History, line: str) -> None:
        """A conversation has gone on to a history, and no longer waits at its beginning."""
        for head in self._known(heads, openings_of(history)[0]):
            if any(place.line == line for place in head.waiting):
                head.go_on(line)

    def _known(self, heads: Mapping[int, KnownRequest], opening: int) -> list[KnownRequest]:
        with_reminders = self._requests.get(opening, ())
        without = [opening ^ base for base in self._bodies.get(opening, ())]
        both = dict.fromkeys((*without, *with_reminders))
        return [head for one in both if (head := heads.get(one)) is not None]


def _is_round(more: Sequence[bytes]) -> bool:
    """Whether a conversation can grow so by one answer, and what a client says to it."""
    asks = [one.startswith(_ASKS) or _OUTPUT in one for one in more]
    return not asks[0] and asks == sorted(asks)


def opening_of(message: bytes, without: bytes, root: int) -> int:
    """The digest of a first message, less its reminders; but not those of another folder.

    Args:
        message: as it is.
        without: the message without reminders.
        root: where its history begins.
    """
    if without is not message:
        start = without.find(b"\n") + 1
        at = message.find(without[start : start + _BEGINS])
        if folder := folder_in(message[:at] + message[at + len(without) - start :]):
            root = digest(folder, root)
    return digest(without, root)


def openings_of(history: History) -> list[int]:
    """Digests of a history up to each message, less the reminders in the first one."""
    first, *rest = history.body
    chain = [opening_of(first, bare(first), history.root)]
    for message in rest:
        chain.append(digest(message, chain[-1]))
    return chain


def _waiting(head: KnownRequest, host: str) -> ConversationPlace | None:
    """Who was answered at a request, and has not gone on from there."""
    fit = (one for one in head.waiting if not (one.live or one.unanswered) and one.host == host)
    return next(fit, None)
