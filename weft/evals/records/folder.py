"""Folder: the files of one evaluation."""

from __future__ import annotations

import json
import os
import platform
from array import array
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from weft.errors import StoreError
from weft.evals.records.kinds import made
from weft.evals.records.lock import locked, may_run, named
from weft.evals.records.row import Row, RowKey, key_of
from weft.evals.records.settings import Session, Settings

SETTINGS, ROWS, RESULTS, REPORT, CELLS, STORE, LOCK = (
    "settings.json",
    "samples.jsonl",
    "run.json",
    "report.html",
    "cells.jsonl",
    "store.sqlite",
    ".lock",
)
_HOLDER = 300  # characters of who writes into a folder


def write(path: Path, text: str) -> None:
    """Replace a file at once, so that a crash leaves either the old or the new one."""
    temporary = path.with_name(path.name + ".new")
    # Half a character, which a part may give and UTF-8 can't write, is written as JSON escapes it.
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(temporary, path)


class Folder:
    """The files of one evaluation.

    Raises:
        StoreError: the folder can't be made or read, or holds something else.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path, self._rows = path, path / ROWS
        try:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            elif not (path / SETTINGS).is_file():
                there = [*path.glob(f"*/{SETTINGS}"), *path.glob(f"*/*/{SETTINGS}")]
                inside = sorted(str(file.parent) for file in there)
                raise StoreError(
                    f"{path} holds no evaluation (no {SETTINGS}); "
                    + (f"give {' or '.join(inside)}" if inside else "give the --out of a run")
                )
        except OSError as e:
            raise StoreError(f"can't use {path} for an evaluation: {e.strerror}") from None

    @contextmanager
    def writing(self) -> Generator[None]:
        """Be the only one who writes into the folder.

        Raises:
            StoreError: somebody else writes there now, or nobody can.
        """
        try:
            file = (self.path / LOCK).open("a+", encoding="utf-8")
        except OSError as e:
            raise StoreError(f"can't write into {self.path} ({LOCK}): {e.strerror}") from e
        with file:
            held = locked(file.fileno())
            file.seek(0)
            holder = file.read(_HOLDER)
            if held is False or (held is None and may_run(holder)):
                raise StoreError(
                    f"another evaluation{named(holder)} writes into {self.path} now; wait until "
                    "it has ended, or give another --out"
                    + ("" if held is False else f"; if it was killed, remove {LOCK} there")
                )
            file.truncate(0)
            file.write(f"{os.getpid()} {platform.node()}")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def open(self, settings: Settings, *, moved: bool = False) -> Session:
        """Begin or go on under `settings`.

        Args:
            settings: of all rows.
            moved: whether the server may have another address than before.

        Raises:
            StoreError: the folder was made under other settings.
        """
        if not (self.path / SETTINGS).exists():
            return Session()
        there, session = self.settings()
        for f in fields(Settings):
            old, new = getattr(there, f.name), getattr(settings, f.name)
            if f.name == "task":
                old, new = there.question[0], settings.question[0]
            if old != new and not (moved and f.name == "server"):
                name = "task's data" if f.name == "data" else f.name
                raise StoreError(
                    f"{self.path} was made with {name} {_short(old)}, not {_short(new)}; "
                    f"give another --out, or {_way(f.name)} to go on"
                )
        return session

    def settings(self) -> tuple[Settings, Session]:
        """What the folder was made with."""
        path = self.path / SETTINGS
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return made(Settings, raw["settings"]), made(Session, raw["session"])
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise StoreError(f"{path} can't be read as settings of an evaluation: {e}") from None

    def save(self, settings: Settings, session: Session) -> None:
        """Write the settings down."""
        both = {"settings": asdict(settings), "session": asdict(session)}
        write(self.path / SETTINGS, json.dumps(both, indent=2) + "\n")

    def rows(self) -> list[Row]:
        """The rows in order, without texts; of those of one strategy, sample and repeat, the last.

        A last line that a crash cut short is left out.
        """
        return [row.slim for row in self.whole_rows(texts=False)]

    def row_keys(self) -> Iterator[RowKey]:
        """What each line is of."""
        return (key for _, key, _ in self._lines())

    def every_row(self, strategy: str | None = None) -> Iterator[Row]:
        """Each row as it came, without texts, also those of which a later one counts.

        Args:
            strategy: only its rows; all if None.
        """
        for _, key, line in self._lines():
            if strategy in (None, key[0]):
                yield self._row(line, texts=False)

    def whole_rows(
        self, wanted: Callable[[RowKey], bool] = lambda key: True, *, texts: bool = True
    ) -> Iterator[Row]:
        """The rows in order with all that is kept of them, one at a time.

        Of those of one strategy, sample and repeat, the last counts.

        Args:
            wanted: whether a row is.
            texts: whether with what was drawn for their answers.
        """
        places = self._places(wanted)
        if not places:
            return
        with (self.path / ROWS).open("rb") as file:
            for at in places:
                file.seek(at)
                yield self._row(file.readline(), texts=texts)

    def _row(self, line: bytes, *, texts: bool) -> Row:
        try:
            return Row.read(line, texts=texts)
        except ValueError as e:
            raise no_row(self._rows, line, f": {e}") from None

    def _places(self, wanted: Callable[[RowKey], bool]) -> Collection[int]:
        """Where the lines begin that count, in the order in which their keys first appear."""
        hashes, places = set[int](), array("q")
        for at, key, _ in self._lines():
            if wanted(key):
                hashes.add(hash(key))
                places.append(at)
        if len(hashes) == len(places):
            return places
        last = {key: at for at, key, _ in self._lines() if wanted(key)}  # seldom, for it is large
        return last.values()

    def _lines(self) -> Iterator[tuple[int, RowKey, bytes]]:
        """Every line with the byte at which it begins, and what it is of."""
        path = self.path / ROWS
        if not path.exists():
            return
        start = 0
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    try:
                        key = key_of(line)
                    except ValueError:
                        if not line.endswith(b"\n"):
                            return
                        raise no_row(path, line) from None
                    yield start, key, line
                start += len(line)

    def rewrite(self, change: Callable[[Row], Row | None]) -> None:
        """Change rows one by one, and leave out those of which None is made.

        The file is left as it is if nothing changes.
        """
        path = self.path / ROWS
        temporary = path.with_name(path.name + ".new")
        same = True
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                for row in self.whole_rows():
                    changed = change(row)
                    same = same and changed is row
                    if changed is not None:
                        file.write(changed.line())
            if not same or not path.exists() or path.stat().st_size != temporary.stat().st_size:
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def append(self, row: Row) -> None:
        """Add a row; it is on disk, for a crash of this process, when this returns."""
        with open(self._rows, "ab") as file:
            file.write(row.line().encode())


def no_row(path: Path, line: bytes, why: str = "") -> StoreError:
    """The error of a line that is no row."""
    with path.open("rb") as file:
        number = next((n for n, there in enumerate(file, 1) if there == line), "?")
    return StoreError(
        f"{path}:{number}: not a row of an evaluation{why}; remove this line, and `weft eval run` "
        "asks its sample again"
    )


def _way(name: str) -> str:
    return "--moved if it is the same server" if name == "server" else "the old settings"


def _short(value: object) -> str:
    text = repr(value) if value not in ({}, "") else "none"
    return text if len(text) <= 60 else text[:57] + "..."
