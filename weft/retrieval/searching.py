"""Searcher: a retriever as a part of a program: in the graph, kept, timed, tried again."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import anyio

from weft.backends.retry import Retry, Waits
from weft.concurrency import now
from weft.errors import EngineError, PartFailed, TimedOut, UsageError
from weft.parts.faults import blaming, said
from weft.programs.durable.seen import seen
from weft.programs.gather import gather
from weft.programs.scope import running
from weft.programs.scope.waiting import noted
from weft.programs.timeouts import Timeout, check_seconds
from weft.retrieval.passage import Passage, Retriever, as_json, as_passages, checked, from_json

Search = Callable[[str, int], Awaitable[Sequence[Passage | str]]]
"""An async function of a query and of how many passages are wanted."""

SearchFailed = (PartFailed, EngineError, TimedOut)
"""What a search raises that failed by itself; other errors are of the program around it."""


class Searcher:
    """A retriever in programs: what it finds is kept, and a search that fails is told as one.

    Each search is a node of the run's graph, and a tool to the scheduler. In a run with an id
    that is begun again it finds what it found, even if the passages have changed since. In other
    runs with a Store, results are kept for a query, a number and a version of the passages; where
    the retriever has no version, for the program that asked. A Searcher is a retriever too, and
    programs make one of whatever retriever they are given.

    Args:
        retriever: a Retriever, or an async function of a query and a number.
        name: in the graph, in the Store and for the scheduler; by default the name of its class
            or function. Two retrievers without versions that one program uses need two names.
        timeout: seconds that a search may take; None for any time.
        retry: how a search that failed is made again: a number of attempts, or a Retry.
        limit: how many searches of `search_all` run side by side; None for all.
        keep: whether results are kept.

    Raises:
        UsageError: it is no retriever, or a setting is out of range.
    """

    def __init__(
        self,
        retriever: Retriever | Search,
        *,
        name: str = "",
        timeout: float | None = 60.0,
        retry: Retry | Mapping[str, Any] | int | None = None,
        limit: int | None = 16,
        keep: bool = True,
    ) -> None:
        search: Any = getattr(retriever, "search", None)
        if search is None and not isinstance(retriever, type) and callable(retriever):
            search = retriever
        if isinstance(retriever, type) or not callable(search):
            raise UsageError(
                f"a retriever has `async def search(self, query, k)`, or is an async function of "
                f"these two; {retriever!r:.60} is neither"
            )
        check_seconds("a retriever", "timeout", timeout)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise UsageError(f"limit={limit!r} must be a whole number of at least 1")
        self._search = cast(Search, search)
        self._blamed = retriever if inspect.isroutine(retriever) else type(retriever)
        given: Any = cast(Any, retriever)
        self._version: Callable[[], Awaitable[str]] | None = getattr(given, "version", None)
        self.name: str = name or getattr(given, "__name__", "") or type(given).__name__
        self.timeout, self.limit, self.keep = timeout, limit, keep
        self.retry = None if retry is None else Retry.of(retry)

    async def version(self) -> str:
        """The retriever's version; empty if it has none."""
        return str(await self._version()) if self._version is not None else ""

    async def search(self, query: str, k: int = 5) -> list[Passage]:
        """The k passages that fit a query best, the best first; none for an empty query.

        Raises:
            UsageError: the query is no text, or `k` no whole number above 0.
            PartFailed: the retriever failed, as often as it was tried.
            TimedOut: it took too long, as often as it was tried.
            EngineError: an endpoint that the retriever asks failed.
            StoreError: the run's Store can't be read or written.
        """
        query = checked(query, k)
        if not query:
            return []
        scope = running()
        if scope is None:
            return await self._tried(query, k)
        uses = scope.provenance.behind([query]) if scope.provenance is not None else []
        with noted(scope, self.name, told=said, uses=uses, query=query, k=k) as inside:

            async def look() -> str:
                with inside.waiting(self.name):
                    return as_json(await self._tried(query, k))

            if self.keep:
                # With an id it does not matter, and need not be asked for.
                version = "" if inside.deeds is not None else await self._versioned()
                arguments = json.dumps([query, k])
                found = from_json(await seen(self.name, arguments, look, version=version))
            else:
                found = from_json(await look())
            if inside.provenance is not None and inside.id is not None:
                inside.provenance.note(found, inside.id)
            return found

    async def search_all(
        self, queries: Sequence[str], k: int = 5
    ) -> list[list[Passage] | PartFailed | EngineError | TimedOut]:
        """Search for several queries side by side; a search that fails loses no other.

        Returns:
            what each query found, in the order of the queries; or its error.

        Raises:
            UsageError: as `search` does; or there is no run and no pool.
            StoreError: the run's Store can't be read or written.
        """
        results = await gather(partial(self.search, k=k), queries, limit=self.limit, errors="keep")
        kept: list[list[Passage] | PartFailed | EngineError | TimedOut] = []
        for one in results:
            if isinstance(one, Exception) and not isinstance(one, SearchFailed):
                raise one
            kept.append(one)
        return kept

    async def _versioned(self) -> str:
        with blaming("retriever", self._blamed):
            return await self.version()

    async def _tried(self, query: str, k: int) -> list[Passage]:
        waits: Waits | None = None
        while True:
            try:
                return await self._once(query, k)
            except SearchFailed as error:
                if self.retry is None:
                    raise
                waits = waits or Waits(self.retry, now())
                wait, again = waits.next(now(), getattr(error, "retry_after", None))
                if not again:
                    raise
                await anyio.sleep(wait)

    async def _once(self, query: str, k: int) -> list[Passage]:
        with blaming("retriever", self._blamed):
            with nullcontext() if self.timeout is None else Timeout(self.name, self.timeout):
                found = self._search(query, k)
                if not inspect.isawaitable(found):
                    raise TypeError("search must be async (`async def`)")
                return as_passages(await found, "what is found")[:k]
            raise AssertionError  # the block returns or raises


def searcher(retriever: Retriever | Search) -> Searcher:
    """A retriever as programs use it; one that is a Searcher stays as it is."""
    return retriever if isinstance(retriever, Searcher) else Searcher(retriever)
