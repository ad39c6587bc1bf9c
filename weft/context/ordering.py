"""ordered: documents in an order by which prompts share their beginnings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def ordered(
    documents: Sequence[T],
    sent: Iterable[Sequence[T]] = (),
    *,
    text: Callable[[T], str] = str,
) -> list[T]:
    """The same documents in an order that shares the longest beginning with what was sent.

    Retrievers rank documents anew for each query, so the same documents come in ever other
    orders, and nothing of them is found in an engine's prefix cache. Here the documents come
    first that an earlier prompt began with, as many as are among them, in that prompt's order:
    of all orders and all earlier prompts, the longest common beginning, in characters. Of equal
    ones the latest prompt's counts. The others follow: those first that were sent most often, and
    then by a digest of their text, which is the same in every process.

    The order says nothing of relevance any more. Where a model needs that, say it behind the
    documents.

    Args:
        documents: what a prompt is to show.
        sent: the documents of earlier prompts, as they were ordered, oldest first.
        text: what the prompt shows of a document; documents of equal text are the same.
    """
    by_text: defaultdict[str, list[T]] = defaultdict(list)
    for one in documents:
        by_text[text(one)].append(one)
    best: list[str] = []
    longest, times = 0, Counter[str]()
    for earlier in sent:
        texts = [text(one) for one in earlier]
        times.update(texts)
        begun = _begun(texts, by_text)
        size = sum(map(len, begun))
        if size >= longest:
            best, longest = begun, size
    order = [by_text[one].pop(0) for one in best]
    left = sorted((one for one in by_text if by_text[one]), key=lambda one: _rank(one, times))
    return order + [document for one in left for document in by_text[one]]


def _begun(texts: Sequence[str], among: defaultdict[str, list[T]]) -> list[str]:
    """The first of some texts, as long as each is there, and as often."""
    taken, begun = Counter[str](), list[str]()
    for one in texts:
        taken[one] += 1
        if one not in among or taken[one] > len(among[one]):
            break
        begun.append(one)
    return begun


def _rank(text: str, times: Counter[str]) -> tuple[int, bytes]:
    return -times[text], blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
