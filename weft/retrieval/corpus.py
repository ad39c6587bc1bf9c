"""Corpus: passages in a SQLite file or in memory, with a version, for one kind of index."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread

from weft.errors import ConfigError
from weft.retrieval.passage import Passage

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS passages (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, source TEXT NOT NULL, text TEXT NOT NULL
);
"""
Change = Callable[[sqlite3.Connection, int, str | None, str | None], None]
"""Told of a passage that changes: its number, its text before and its text now, None for none."""


class Corpus:
    """Passages by id. May be used by several threads; one at a time reads or writes.

    Args:
        file: where it is kept, and made if it is missing; None keeps it in memory.
        kind: of the index that it is for; a file belongs to one kind.
        schema: of the index's own tables.

    Attributes:
        name: for messages.

    Raises:
        ConfigError: the file can't be opened, is no such file, or is of another kind.
    """

    def __init__(self, file: str | Path | None, kind: str, schema: str) -> None:
        self.name = str(file) if file is not None else "in memory"
        self._turn = threading.Lock()
        if file is not None and Path(file).is_dir():
            raise ConfigError(f"file={self.name!r} is a folder; name a file for the {kind}")
        try:
            self._connection = sqlite3.connect(
                ":memory:" if file is None else str(file), timeout=10, check_same_thread=False
            )
            with self._failing(), self._connection:
                self._connection.executescript(_SCHEMA)
                if (was := self._about("kind", kind)) == kind:
                    self._connection.executescript(schema)
        except sqlite3.Error as error:
            raise ConfigError(
                f"file={self.name!r} can't be opened for the {kind} ({error}); name another"
            ) from None
        if was != kind:
            self.close()
            raise ConfigError(f"file={self.name!r} is a {was}, not a {kind}; name another")

    def __len__(self) -> int:
        with self.reading() as connection:
            return connection.execute("SELECT count(*) FROM passages").fetchone()[0]

    @property
    def version(self) -> str:
        """A digest of all passages: equal corpora have equal ones, however they were made."""
        with self._turn:
            return self._about("version", "0")

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """The connection, alone."""
        with self._turn:
            yield self._connection

    def put(self, passages: Iterable[Passage], change: Change) -> None:
        """Add passages; one whose id is there takes that one's place. All, or none."""
        with self._turn, self._connection as connection:
            version = int(self._about("version", "0"), 16)
            for one in passages:
                before = self._row(one.id)
                if before is None:
                    made = connection.execute(
                        "INSERT INTO passages (id, source, text) VALUES (?, ?, ?)",
                        (one.id, one.source, one.text),
                    )
                    number, was = made.lastrowid or 0, None
                else:
                    number, source, was = before
                    version ^= _digest(one.id, source, was)
                    connection.execute(
                        "UPDATE passages SET source = ?, text = ? WHERE number = ?",
                        (one.source, one.text, number),
                    )
                version ^= _digest(one.id, one.source, one.text)
                change(connection, number, was, one.text)
            self._set_version(version)

    def remove(self, ids: Sequence[str], change: Change) -> None:
        """Remove passages; ids that are not there are let be."""
        with self._turn, self._connection as connection:
            version = int(self._about("version", "0"), 16)
            for id in dict.fromkeys(ids):
                if (before := self._row(id)) is not None:
                    number, source, was = before
                    version ^= _digest(id, source, was)
                    connection.execute("DELETE FROM passages WHERE number = ?", (number,))
                    change(connection, number, was, None)
            self._set_version(version)

    def changed(self, passages: Iterable[Passage]) -> list[Passage]:
        """Those whose text is not there under their id."""
        with self._turn:
            rows = [(one, self._row(one.id)) for one in passages]
        return [one for one, row in rows if row is None or row[2] != one.text]

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._connection.close()

    def _row(self, id: str) -> tuple[int, str, str] | None:
        wanted = "SELECT number, source, text FROM passages WHERE id = ?"
        return self._connection.execute(wanted, (id,)).fetchone()

    def _about(self, name: str, default: str) -> str:
        """What is kept under a name; the default is kept if there is nothing."""
        wanted = "SELECT value FROM about WHERE name = ?"
        row = self._connection.execute(wanted, (name,)).fetchone()
        if row is None:
            if name != "version":
                self._connection.execute("INSERT INTO about VALUES (?, ?)", (name, default))
            return default
        return row[0]

    def _set_version(self, version: int) -> None:
        self._connection.execute(
            "INSERT INTO about VALUES ('version', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (f"{version:x}",),
        )

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except BaseException:
            self._connection.close()
            raise


def _digest(*parts: str) -> int:
    told = "\0".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(blake2b(told.encode(), digest_size=16).digest())


class OfCorpus:
    """What retrievers over a corpus have in common: its version, its size, its file."""

    _corpus: Corpus

    async def version(self) -> str:
        """A digest of all passages."""
        return await anyio.to_thread.run_sync(lambda: self._corpus.version, abandon_on_cancel=True)

    def __len__(self) -> int:
        return len(self._corpus)

    def close(self) -> None:
        """Close the file."""
        self._corpus.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
