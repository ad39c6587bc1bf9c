"""FullText: passages that are found by their words, in SQLite's own full-text index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import anyio.to_thread

from weft.errors import UsageError
from weft.retrieval.corpus import Corpus, OfCorpus
from weft.retrieval.passage import Passage, checked, given_passages

_TERMS = 100  # words of a query that are looked for; the rest of a longer one is left out
_ALONE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)
"""Characters of scripts that put no spaces between words: each is indexed by itself."""
_FIND = """
SELECT p.id, p.text, -bm25(words) AS score, p.source
FROM words JOIN passages p ON p.number = words.rowid
WHERE words MATCH ? ORDER BY score DESC, p.id LIMIT ?
"""


class FullText(OfCorpus):
    """Finds passages by the words that they share with a query, weighed by BM25.

    The index is SQLite's FTS5. A query is any text: its words are looked for, and nothing in it is
    syntax. A passage needs not have all words. Case, accents and the endings of English words
    don't matter. Equal scores come in the order of their ids.

    Args:
        passages: to begin with: passages or plain texts, which get ids of what they say. For
            many, `await add(...)` leaves the event loop free.
        file: where the index is kept and found again; None keeps it in memory.
        words: how texts are cut into words, in FTS5's own form; of an index that is there its own
            form counts.

    Raises:
        UsageError: this Python's SQLite has no FTS5, or does not know `words`.
        ConfigError: the file can't be opened, or is no full-text index.
    """

    def __init__(
        self,
        passages: Iterable[Passage | str] = (),
        *,
        file: str | Path | None = None,
        words: str = "porter unicode61 remove_diacritics 2",
    ) -> None:
        tokenize = words.replace("'", "''")
        schema = (
            "CREATE VIRTUAL TABLE IF NOT EXISTS words USING "
            f"fts5(text, content='', tokenize='{tokenize}');"
        )
        _check_fts5(words, schema)
        self._corpus = Corpus(file, "full-text index", schema)
        if first := given_passages(passages):
            self._corpus.put(first, _index)

    async def add(self, passages: Iterable[Passage | str]) -> None:
        """Add passages; one whose id is there takes that one's place. All, or none.

        Raises:
            UsageError: they are no passages.
        """
        given = given_passages(passages)
        await anyio.to_thread.run_sync(self._corpus.put, given, _index)

    async def remove(self, *ids: str) -> None:
        """Remove passages; ids that are not there are let be."""
        await anyio.to_thread.run_sync(self._corpus.remove, ids, _index)

    async def search(self, query: str, k: int = 5) -> list[Passage]:
        """The k passages that fit a query best, the best first; none if it has no words."""
        wanted = expression(checked(query, k))
        if not wanted:
            return []
        find = partial(self._find, wanted, k)
        return await anyio.to_thread.run_sync(find, abandon_on_cancel=True)

    def _find(self, wanted: str, k: int) -> list[Passage]:
        with self._corpus.reading() as connection:
            return [Passage(*row) for row in connection.execute(_FIND, (wanted, k))]


def expression(query: str) -> str:
    """A query as FTS5 reads it: any of its words, each in quotes; empty if it has none."""
    found: dict[str, None] = {}
    for term in _terms(query):
        found[f'"{term}"'] = None
        if len(found) == _TERMS:
            break
    return " OR ".join(found)


def _terms(query: str) -> Iterator[str]:
    for word in re.findall(r"[^\W_]+", query.lower()):
        for run in re.split(f"({_ALONE.pattern}+)", word):
            if len(run) > 1 and _ALONE.match(run):  # pairs say more than single characters
                yield from (f"{a} {b}" for a, b in pairwise(run))
            elif run:
                yield run


def _index(connection: sqlite3.Connection, number: int, was: str | None, text: str | None) -> None:
    if was is not None:
        connection.execute(
            "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
            (number, _ALONE.sub(r" \g<0> ", was)),
        )
    if text is not None:
        connection.execute(
            "INSERT INTO words (rowid, text) VALUES (?, ?)", (number, _ALONE.sub(r" \g<0> ", text))
        )


def _check_fts5(words: str, schema: str) -> None:
    trial = sqlite3.connect(":memory:")
    try:
        trial.executescript(schema)
    except sqlite3.Error as error:
        if "no such module" in str(error):
            raise UsageError(
                "FullText needs FTS5, which this Python's SQLite lacks; use another Python, or a "
                "retriever of your own"
            ) from None
        raise UsageError(
            f"words={words!r} is no tokenizer of FTS5 ({error}); see sqlite.org/fts5.html"
        ) from None
    finally:
        trial.close()
