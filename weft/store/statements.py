"""Single statements: what is asked of SQLite again and again, without what surrounds it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
    Engine,
    Executable,
    PoolProxiedConnection,
)


class SingleStatements:
    """Runs single statements on one connection to SQLite that stays open, compiled once.

    What SQLAlchemy does around a statement takes many times as long as the statement.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._pooled: PoolProxiedConnection | None = None
        self._raw: sqlite3.Connection | None = None
        self._compiled: dict[Executable, tuple[str, Sequence[tuple[str, Any]]]] = {}

    def first(self, wanted: Executable, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """The first row of a query."""
        with self._lock:
            # All rows are taken, or the read would go on.
            connection = self._raw or self._open()
            rows = connection.execute(*self._bind(wanted, values)).fetchall()
        return rows[0] if rows else None

    def change(self, change: Executable, values: Sequence[Mapping[str, Any]]) -> None:
        """Make changes and commit them: all, or none."""
        with self._lock:
            connection = self._raw or self._open()
            try:
                connection.executemany(*self._bind_all(change, values))
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def close(self) -> None:
        """Give the connection back; it is opened again when it is needed."""
        with self._lock:
            if self._pooled is not None:
                self._pooled.close()
                self._pooled = self._raw = None

    def _open(self) -> sqlite3.Connection:
        self._pooled = self._engine.raw_connection()
        self._raw = cast(sqlite3.Connection, self._pooled.driver_connection)
        return self._raw

    def _bind(
        self, statement: Executable, values: Mapping[str, Any]
    ) -> tuple[str, tuple[Any, ...]]:
        sql, rows = self._bind_all(statement, [values])
        return sql, rows[0]

    def _bind_all(
        self, statement: Executable, values: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[tuple[Any, ...]]]:
        if statement not in self._compiled:
            compiled = cast(Any, statement).compile(self._engine)
            given: Mapping[str, Any] = compiled.params  # such as the number of a limit
            names: Sequence[str] = compiled.positiontup
            self._compiled[statement] = str(compiled), [(name, given[name]) for name in names]
        sql, parameters = self._compiled[statement]
        return sql, [tuple([row.get(name, own) for name, own in parameters]) for row in values]
