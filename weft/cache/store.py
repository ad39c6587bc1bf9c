"""Store: results of calls, kept under what determines them, and what was learned of programs.

Resume, replay and the response cache are this one thing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from weft.errors import StoreError

_FORMAT = 1
_metadata = MetaData()
_calls = Table(
    "calls",
    _metadata,
    Column("order", Integer, primary_key=True, autoincrement=True),
    Column("key", String(64), unique=True, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
# Younger than the calls. A file without it gets it, and older versions of weft don't mind it.
_profiles = Table(
    "profiles",
    _metadata,
    Column("key", Text, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("at", Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Record:
    """A stored result.

    Attributes:
        order: results that came later have a higher one.
        done: False for a call that was cancelled; `outcome` then holds what it cost.
        outcome: the result as JSON.
    """

    order: int
    done: bool
    outcome: str


class Store:
    """Results of calls, and profiles of programs, in a SQLite file.

    A result is committed as soon as it is there, so that a run that was killed goes on where
    it was. One process writes to a file at a time.

    Args:
        path: the file, made where missing; None keeps all in memory.

    Raises:
        StoreError: the file is no store, or one of another version.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else None
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{self.path}" if self.path is not None else "sqlite://"
        self._engine = create_engine(address, poolclass=StaticPool)

        @event.listens_for(self._engine, "connect")
        def prepare(connection: Any, _: object) -> None:  # pyright: ignore[reportUnusedFunction]
            cursor = connection.cursor()
            # A crash of the machine may lose the last results, a crash of weft none.
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        try:
            self._connection = self._engine.connect()
            version = self._connection.exec_driver_sql("PRAGMA user_version").scalar()
            if version not in (0, _FORMAT):
                raise StoreError(
                    f"store {self.path} has format {version}, this weft reads {_FORMAT}; "
                    "use another file"
                )
            _metadata.create_all(self._connection)
            self._connection.exec_driver_sql(f"PRAGMA user_version={_FORMAT}")
            self._connection.commit()
            self.resumed = len(self) > 0
            """Whether there were results when the store was opened."""
        except DBAPIError as error:
            self._engine.dispose()
            raise StoreError(
                f"store {self.path} can't be opened ({error.orig}); name another file"
            ) from None

    def __len__(self) -> int:
        return self._connection.execute(select(func.count()).select_from(_calls)).scalar_one()

    def get(self, key: str) -> Record | None:
        """What is stored under `key`."""
        wanted = select(_calls.c.order, _calls.c.done, _calls.c.outcome).where(_calls.c.key == key)
        row = self._connection.execute(wanted).first()
        return Record(*row) if row is not None else None

    def put(self, key: str, outcome: str, *, done: bool) -> None:
        """Keep a result; a finished one takes the place of a cancelled one, never the reverse."""
        try:
            earlier = self.get(key)
            if earlier is not None and (earlier.done or not done):
                return
            if earlier is not None:
                self._connection.execute(delete(_calls).where(_calls.c.key == key))
            row = {"key": key, "done": done, "outcome": outcome, "at": time.time()}
            self._connection.execute(_calls.insert(), row)
            self._connection.commit()
        except DBAPIError as error:
            raise StoreError(f"store {self.path} can't be written ({error.orig})") from None

    def profiles(self) -> dict[str, str]:
        """What was learned of programs, as JSON by key, longest unchanged first."""
        wanted = select(_profiles.c.key, _profiles.c.profile).order_by(
            _profiles.c.at, _profiles.c.key
        )
        return {key: profile for key, profile in self._connection.execute(wanted)}

    def keep_profiles(self, changed: Mapping[str, str], dropped: Iterable[str] = ()) -> None:
        """Keep profiles by key, and forget some, both or neither."""
        gone = [*changed, *dropped]
        try:
            for begin in range(0, len(gone), 500):  # SQLite limits the values of a statement
                some = _profiles.c.key.in_(gone[begin : begin + 500])
                self._connection.execute(delete(_profiles).where(some))
            now = time.time()
            if rows := [{"key": k, "profile": p, "at": now} for k, p in changed.items()]:
                self._connection.execute(_profiles.insert(), rows)
            self._connection.commit()
        except DBAPIError as error:
            self._connection.rollback()
            raise StoreError(f"store {self.path} can't be written ({error.orig})") from None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
