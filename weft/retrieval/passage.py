"""Passage: a piece of text that can be found; Retriever: what finds some for a query."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal, Protocol, cast

from weft.errors import UsageError

Order = Literal["canonical", "best first", "best last"]
"""In which order passages stand in a prompt.

`canonical` is by id: prompts with the same passages begin with the same tokens, whatever their
ranks. `best last` has the best next to the question.
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that was found.

    Attributes:
        id: tells it from all others of its retriever.
        text: what it says.
        score: how well it fits the query, by its retriever's own measure; higher is better.
        source: where it is from, such as a file; empty if nobody knows.
    """

    id: str
    text: str
    score: float = 0.0
    source: str = ""


class Retriever(Protocol):
    """Finds passages for a query.

    A retriever may also have `async def version(self) -> str`: a text that is another one
    whenever its passages have changed. Then results in a Store belong to one version.
    """

    async def search(self, query: str, k: int, /) -> Sequence[Passage]:
        """The k passages that fit a query best, the best first; fewer if there are not as many."""
        ...


def as_passages(found: object, what: str = "a passage") -> list[Passage]:
    """Passages as they are, and texts as passages with ids of what they say; each id once.

    Raises:
        TypeError: it is something else; the message says what is needed.
    """
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        raise TypeError(f"what is given must be a list of Passage or str, not {found!r:.60}")
    made: dict[str, Passage] = {}
    for one in cast(Iterable[object], found):
        if isinstance(one, str):
            one = Passage(blake2b(clean(one).encode(), digest_size=6).hexdigest(), one)
        if not isinstance(one, Passage):
            raise TypeError(f"{what} must be a Passage or a str, not {one!r:.60}")
        if not isinstance(cast(object, one.text), str) or not isinstance(cast(object, one.id), str):
            raise TypeError(f"a Passage has texts as id and text, not {one.id!r:.40}")
        texts = {name: clean(getattr(one, name)) for name in ("id", "text", "source")}
        made.setdefault(texts["id"], replace(one, **texts))
    return list(made.values())


def given_passages(passages: Iterable[Passage | str]) -> list[Passage]:
    """Passages that a user gave an index.

    Raises:
        UsageError: they are none.
    """
    try:
        return as_passages(passages)
    except TypeError as error:
        raise UsageError(str(error)) from None


def checked(query: str, k: int) -> str:
    """A query without spaces around it and without half characters.

    Raises:
        UsageError: it is no text, or `k` no whole number above 0.
    """
    if not isinstance(cast(object, query), str):
        raise UsageError(f"a query must be a text, not {query!r:.60}")
    if type(k) is not int or k < 1:
        raise UsageError(f"k={k!r} must be a whole number of at least 1")
    return clean(query).strip()


def clean(text: str) -> str:
    """A text without half characters, which no database can hold."""
    return text.encode("utf-8", "replace").decode()


def ordered(passages: Iterable[Passage], how: Order = "canonical") -> list[Passage]:
    """Passages in the order in which they are shown.

    Args:
        passages: the best first.
        how: see `Order`.

    Raises:
        UsageError: there is no such order.
    """
    if how == "canonical":
        return sorted(passages, key=lambda one: one.id)
    if how == "best first":
        return list(passages)
    if how == "best last":
        return list(passages)[::-1]
    raise UsageError(f'order={how!r} must be "canonical", "best first" or "best last"')


def shown(passages: Iterable[Passage], most: int = 4000) -> str:
    """Passages as a model reads them.

    Args:
        passages: in the order in which they are shown.
        most: characters of each; the rest is left out.
    """
    return "\n\n".join(f"[{one.id}] {one.text[:most].strip()}" for one in passages)


def as_json(passages: Iterable[Passage]) -> str:
    """Passages as they are kept."""
    return json.dumps([[one.id, one.text, one.score, one.source] for one in passages])


def from_json(text: str) -> list[Passage]:
    """Passages that were kept."""
    return [Passage(*fields) for fields in json.loads(text)]
