"""Hybrid: several retrievers as one, by reciprocal rank fusion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from weft.concurrency import TaskGroup
from weft.errors import BudgetExceeded, UsageError
from weft.retrieval.passage import Passage, Retriever
from weft.retrieval.searching import Search, Searcher

_log = logging.getLogger(__name__)


class Hybrid:
    """Finds what several retrievers find for a query, side by side.

    A passage scores the sum of `weight / (constant + rank)` over the retrievers that found it,
    with ranks from 1 (reciprocal rank fusion, Cormack et al. 2009). Ids tell passages apart, so the
    retrievers should index the same passages. Equal scores come in the order of their ids. A
    retriever that fails is left out, with a warning, and what the others found counts as any
    result; if all fail, the first one's error is raised.

    Args:
        *retrievers: at least one.
        weights: of each retriever; by default 1.
        constant: the larger, the less the first ranks count more than others.
        depth: how many times as many passages as wanted each retriever is asked for.

    Raises:
        UsageError: there is no retriever, or a number is out of range.
    """

    def __init__(
        self,
        *retrievers: Retriever | Search,
        weights: Sequence[float] | None = None,
        constant: float = 60.0,
        depth: int = 4,
    ) -> None:
        if not retrievers:
            raise UsageError("Hybrid needs retrievers: Hybrid(words, vectors)")
        self._weights = [1.0] * len(retrievers) if weights is None else [*map(float, weights)]
        if len(self._weights) != len(retrievers) or not all(w >= 0 for w in self._weights):
            raise UsageError(f"weights={weights!r} must be a number, 0 or more, for each retriever")
        if not constant >= 0:
            raise UsageError(f"constant={constant!r} must be 0 or more")
        if type(depth) is not int or depth < 1:
            raise UsageError(f"depth={depth!r} must be a whole number of at least 1")
        self._constant, self._depth = constant, depth
        # What all found together is kept by the Searcher around this one.
        self._parts = [
            one if isinstance(one, Searcher) else Searcher(one, timeout=None, keep=False)
            for one in retrievers
        ]

    async def search(self, query: str, k: int = 5) -> list[Passage]:
        """The k passages that score most, the best first.

        Raises:
            WeftError: all retrievers failed.
        """
        found: dict[int, list[Passage]] = {}
        errors: dict[int, Exception] = {}

        async def one(at: int) -> None:
            try:
                found[at] = await self._parts[at].search(query, k * self._depth)
            except BudgetExceeded:
                raise
            except Exception as error:
                errors[at] = error

        async with TaskGroup() as tasks:
            for at in range(len(self._parts)):
                tasks.start_soon(one, at)
        if not found:
            raise errors[min(errors)]
        for at in sorted(errors):
            _log.warning("left out of a search: %s", errors[at])
        scores: dict[str, float] = {}
        passages: dict[str, Passage] = {}
        for at in sorted(found):
            for rank, passage in enumerate(found[at], 1):
                passages.setdefault(passage.id, passage)
                share = self._weights[at] / (self._constant + rank)
                scores[passage.id] = scores.get(passage.id, 0.0) + share
        best = sorted(scores, key=lambda id: (-scores[id], id))[:k]
        return [replace(passages[id], score=scores[id]) for id in best]

    async def version(self) -> str:
        """The versions of all its retrievers."""
        return "+".join([await part.version() for part in self._parts])
