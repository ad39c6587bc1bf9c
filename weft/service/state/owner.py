"""Owner: a store's state belongs to one service at a time, and to the next when that has died."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from weft.errors import StoreError
from weft.store.database import Database

_PATIENCE = 5.0  # seconds that a service which is ending may take to let go
_LOOK = 0.2  # seconds between two tries
# One for each schema, which is where the tables are.
_KEY = "hashtext('weft serve'), hashtext(current_schema())"
# The server lets go of a machine that is gone after some 25 seconds, not after two hours.
_SETTINGS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
}


class Owner:
    """Holds a store for one service, by a lock that the system takes back when its process ends.

    In PostgreSQL the lock is an advisory one of a connection of its own. Beside a SQLite file
    the lock is an open transaction in an empty database, `FILE-owner`. A store in memory is
    nobody else's.

    Args:
        database: the Store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._session: Connection | None = None
        self._closed = False

    async def take(self) -> None:
        """Take the store, or wait a little until another service lets it go.

        Raises:
            StoreError: another service has it, or the database fails.
        """
        for _ in range(round(_PATIENCE / _LOOK)):
            if await anyio.to_thread.run_sync(self._hold):
                return
            await anyio.sleep(_LOOK)
        self.check()

    def check(self) -> None:
        """See that the store is this service's; take it again if its connection was lost.

        Raises:
            StoreError: another service has it, or the database fails.
        """
        if not self._hold():
            raise StoreError(
                f"store {self._database.name} belongs to another weft serve that runs"
                f"{self._whose()}; stop that one, or give this one a store of its own"
            )

    def close(self) -> None:
        """Let the store go."""
        with self._turn:
            self._closed = True
            self._lose()

    def _hold(self) -> bool:
        with self._turn:
            if self._closed:
                return False
            if self._database.dialect == "sqlite":
                path = self._database.path
                return path is None or self._file is not None or self._lock_file(path)
            return self._alive() or self._lock_session()

    def _lock_file(self, path: Path) -> bool:
        name = f"{path.resolve()}-owner"
        try:
            made = sqlite3.connect(name, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise StoreError(
                f"{name} can't be opened ({error}); it says whose the store is"
            ) from None
        try:
            made.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            made.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return False
            raise StoreError(f"{name} can't be locked ({error}); name another store") from None
        self._file = made
        return True

    def _alive(self) -> bool:
        """Whether the connection that has the lock is there still."""
        if self._session is None:
            return False
        try:
            self._session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self._lose()
            return False
        return True

    def _lock_session(self) -> bool:
        with self._database.failing("read"):
            made = self._database.session()
            try:
                if not made.execute(text(f"SELECT pg_try_advisory_lock({_KEY})")).scalar_one():
                    made.close()
                    return False
                name = f"weft serve on {socket.gethostname()}, process {os.getpid()}"
                for setting, value in {**_SETTINGS, "application_name": name[:63]}.items():
                    # Older servers lack some.
                    with suppress(SQLAlchemyError):
                        made.execute(
                            text("SELECT set_config(:s, :v, false)"), {"s": setting, "v": value}
                        )
            except BaseException:
                made.invalidate()
                made.close()
                raise
        self._session = made
        return True

    def _whose(self) -> str:
        """What PostgreSQL knows of the service that has the lock."""
        if self._database.dialect == "sqlite":
            return ""
        wanted = text(
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND a.application_name LIKE 'weft serve on %'"
        )
        with suppress(StoreError), self._database.reading() as connection:
            names: list[str] = list(connection.scalars(wanted))
            return f" ({'; '.join(sorted(names))})" if names else ""
        return ""

    def _lose(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._session is not None:
            # Closed for good, not given back: the lock is the connection's.
            with suppress(SQLAlchemyError):
                self._session.invalidate()
            self._session.close()
            self._session = None
