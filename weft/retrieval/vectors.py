"""Vectors: passages that are found by what they mean, by embeddings that a model makes."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from weft.errors import UsageError
from weft.extras import need
from weft.retrieval.corpus import Corpus, OfCorpus
from weft.retrieval.passage import Passage, checked, given_passages

if TYPE_CHECKING:
    import numpy as np

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]] | Sequence[Sequence[float]]]
"""A function, async or plain, that gives an embedding for each text, all of one length."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (number INTEGER PRIMARY KEY, vector BLOB NOT NULL);"
_ALL = """
SELECT p.id, p.text, p.source, v.vector FROM passages p JOIN vectors v ON v.number = p.number
ORDER BY p.id
"""


class Vectors(OfCorpus):
    """Finds passages whose embeddings are nearest to a query's, by the cosine.

    Every passage is compared with the query (numpy). That is exact, and quick for some hundred
    thousand passages; for more, put a database of vectors behind a retriever of your own. Scores
    are cosines, from -1 to 1. Equal ones come in the order of their ids.

    Args:
        embed: makes embeddings: `EmbeddingEndpoint(...)`, or a function of your own. A plain
            function is run in a thread.
        file: where passages and embeddings are kept and found again; None keeps them in memory. A
            file belongs to one model of embeddings.
        batch: most texts that `embed` is given at once.

    Raises:
        MissingExtra: numpy is not installed.
        ConfigError: the file can't be opened, or is no index of vectors.
    """

    def __init__(self, embed: Embed, *, file: str | Path | None = None, batch: int = 64) -> None:
        need("retrieval", "Vectors")
        if not callable(embed):
            raise UsageError(f"embed={embed!r:.60} must be a function of a list of texts")
        if type(batch) is not int or batch < 1:
            raise UsageError(f"batch={batch!r} must be a whole number of at least 1")
        self._embed, self._batch = embed, batch
        self._corpus = Corpus(file, "index of vectors", _SCHEMA)
        self._loaded: tuple[str, list[Passage], Any] | None = None

    async def add(self, passages: Iterable[Passage | str]) -> None:
        """Add passages; one whose id is there takes that one's place.

        Only those are embedded whose texts are new. What is embedded is kept batch by batch: if a
        batch fails, those before it stay.

        Raises:
            UsageError: they are no passages, or the embeddings do not fit each other.
            EngineError: the endpoint that makes embeddings failed.
        """
        given = given_passages(passages)
        new = await anyio.to_thread.run_sync(self._corpus.changed, given)
        for begin in range(0, len(new), self._batch):
            some = new[begin : begin + self._batch]
            vectors = await self._embedded([one.text for one in some])
            rows = {one.text: vector.tobytes() for one, vector in zip(some, vectors, strict=True)}
            await anyio.to_thread.run_sync(self._put, some, rows)

    async def remove(self, *ids: str) -> None:
        """Remove passages; ids that are not there are let be."""
        await anyio.to_thread.run_sync(self._corpus.remove, ids, _forget)

    async def search(self, query: str, k: int = 5) -> list[Passage]:
        """The k passages that are nearest to a query, the nearest first.

        Raises:
            UsageError: the query's embedding has another length than the passages'.
            EngineError: the endpoint that makes embeddings failed.
        """
        query = checked(query, k)
        if not query or not await anyio.to_thread.run_sync(self.__len__):
            return []
        (vector,) = await self._embedded([query])
        return await anyio.to_thread.run_sync(self._nearest, vector, k, abandon_on_cancel=True)

    async def _embedded(self, texts: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        """Embeddings of length 1, or of zeros."""
        call: Any = getattr(self._embed, "__call__", None)  # noqa: B004, of an object
        made: Any
        if inspect.iscoroutinefunction(self._embed) or inspect.iscoroutinefunction(call):
            made = self._embed(texts)
        else:  # in a list, for trio takes nothing awaitable from a thread
            (made,) = await anyio.to_thread.run_sync(lambda: [self._embed(texts)])
        if inspect.isawaitable(made):
            made = await made
        return _unit(made, len(texts))

    def _put(self, passages: Sequence[Passage], rows: dict[str, bytes]) -> None:
        def change(
            connection: sqlite3.Connection, number: int, was: str | None, text: str | None
        ) -> None:
            vector = rows[text or ""]
            other = connection.execute(
                "SELECT length(vector) FROM vectors WHERE number != ? LIMIT 1", (number,)
            ).fetchone()
            if other is not None and other[0] != len(vector):
                raise _unlike(other[0], len(vector))
            connection.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (number, vector))

        self._corpus.put(passages, change)

    def _nearest(self, vector: np.ndarray[Any, Any], k: int) -> list[Passage]:
        import numpy as np

        version = self._corpus.version
        loaded = self._loaded
        if loaded is None or loaded[0] != version:
            with self._corpus.reading() as connection:
                rows = connection.execute(_ALL).fetchall()
            passages = [Passage(id, text, 0.0, source) for id, text, source, _ in rows]
            lengths = {len(row[3]) for row in rows}
            joined = b"".join(row[3] for row in rows)
            numbers = cast(Any, np.frombuffer(joined, np.float32))
            matrix = numbers.reshape(len(rows), max(lengths, default=4) // 4)
            loaded = self._loaded = version, passages, matrix
        _, passages, matrix = loaded
        if matrix.shape[1] != len(vector):
            raise _unlike(matrix.shape[1] * 4, len(vector) * 4)
        scores = matrix @ vector
        # Passages stand in the order of their ids, which a stable sort keeps.
        best = np.argsort(-scores, kind="stable")[:k]
        found = [(passages[int(at)], float(scores[int(at)])) for at in best]
        return [Passage(one.id, one.text, score, one.source) for one, score in found]


def _unit(made: Any, count: int) -> list[np.ndarray[Any, Any]]:
    import numpy as np

    vectors: Any = None
    with suppress(TypeError, ValueError):
        vectors = cast(Any, np.asarray(made, np.float32))
    if vectors is None or vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        raise UsageError(
            f"embed must give a list of numbers for each of {count} texts, all of one length"
        )
    if not np.isfinite(vectors).all():
        raise UsageError("embed gave an embedding with numbers that are not finite")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return list(vectors / np.where(norms > 0, norms, 1.0).astype(np.float32))


def _unlike(there: int, given: int) -> UsageError:
    return UsageError(
        f"an embedding has {given // 4} numbers, those that are kept have {there // 4}; use the "
        "model that made those, or another file"
    )


def _forget(connection: sqlite3.Connection, number: int, was: str | None, text: str | None) -> None:
    connection.execute("DELETE FROM vectors WHERE number = ?", (number,))
