"""Store: results of calls, kept under what determines them, and what was learned of programs.

Resume, replay and the response cache are this one thing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from types import TracebackType

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    select,
)

from weft.store.database import Database
from weft.store.group import Group, Row

_metadata = MetaData()
_calls = Table(
    "calls",
    _metadata,
    Column(
        "order", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("key", String(64), unique=True, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("run", String(64), index=True),  # younger than the others
    sqlite_autoincrement=True,
)
_RESULT = select(_calls.c.order, _calls.c.done, _calls.c.outcome, _calls.c.run)
_BY_KEY = _RESULT.where(_calls.c.key == bindparam("key"))
_LAST = _RESULT.where(_calls.c.run == bindparam("run")).order_by(_calls.c.order.desc()).limit(1)
_FOLLOWING = (
    _RESULT.where(
        and_(_calls.c.run == bindparam("run"), _calls.c.done, _calls.c.order > bindparam("after"))
    )
    .order_by(_calls.c.order)
    .limit(1)
)

# Younger than the calls. A file without it gets it, and older versions of weft don't mind it.
_profiles = Table(
    "profiles",
    _metadata,
    Column("key", Text, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("at", Float, nullable=False),
)

# Younger still.
_graphs = Table(
    "graphs",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("graph", Text, nullable=False),
    Column("at", Float, nullable=False),
)

_calibrations = Table(
    "calibrations",
    _metadata,
    Column("key", Text, primary_key=True),
    Column("calibration", Text, nullable=False),
    Column("at", Float, nullable=False),
)
_CALIBRATION = select(_calibrations.c.calibration).where(_calibrations.c.key == bindparam("key"))


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A stored result.

    Attributes:
        order: a number; later results have a higher order.
        done: False for a call that was cancelled; `outcome` then holds what it cost.
        outcome: the result as JSON.
        run: the run to which the result belongs; None if the run was not kept.
    """

    order: int
    done: bool
    outcome: str
    run: str | None = None


def _row(key: str, outcome: str, done: bool, run: str | None) -> Row:
    return {"key": key, "done": done, "outcome": outcome, "at": time.time(), "run": run}


class Store:
    """Results of calls, and profiles of programs, in a SQLite file or in PostgreSQL.

    A program sees a result when the result is committed, so a run that was killed goes on where
    it was. Results that come in one turn of asyncio's loop share a transaction. One process at a
    time writes to a SQLite file.

    Args:
        where: a file, which is made if it is missing; or a URL,
            `postgresql://USER:PASSWORD@HOST/NAME` or `sqlite:///FILE`; or None for a store in
            memory.

    Attributes:
        database: where the tables are; others may keep theirs there too.
        name: for messages.
        resumed: whether there were results when the store was opened.
        filled: whether there are some now, or were then.

    Raises:
        StoreError: there is no store, or one of another version, or no driver for the database.
    """

    def __init__(self, where: str | Path | None = None) -> None:
        self.database = Database(where, _metadata)
        self.name = self.database.name
        self._groups: dict[int, Group] = {}  # one for each thread that has an event loop
        self.resumed = self.filled = len(self) > 0
        kept = self.database.insert(_calls)
        self._put = kept.on_conflict_do_update(
            index_elements=[_calls.c.key],
            # It comes now, so its order is new too.
            set_={name: kept.excluded[name] for name in ("order", "done", "outcome", "at", "run")},
            where=and_(kept.excluded.done, _calls.c.done.is_(False)),
        ).values({name: bindparam(name) for name in ("key", "done", "outcome", "at", "run")})

    def __len__(self) -> int:
        self._flush()
        with self.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(_calls)).scalar_one()

    def get(self, key: str) -> StoredResult | None:
        """What is stored under `key`."""
        if (group := self._groups.get(get_ident())) is not None and key in group:
            group.flush()
        return self._first(_BY_KEY, {"key": key})

    def last(self, run: str) -> StoredResult | None:
        """A run's last result, finished or not; None if it has none."""
        self._flush()
        return self._first(_LAST, {"run": run})

    def following(self, run: str, order: int) -> StoredResult | None:
        """The first finished result of a run that came after the one of an order."""
        self._flush()
        return self._first(_FOLLOWING, {"run": run, "after": order})

    def _first(
        self, wanted: Select[int, bool, str, str | None], values: Mapping[str, str | int]
    ) -> StoredResult | None:
        row = self.database.first(wanted, values)
        if row is None:
            return None
        order, done, outcome, run = row
        return StoredResult(order, bool(done), outcome, run)

    def put(self, key: str, outcome: str, *, done: bool, run: str | None = None) -> None:
        """Keep a result; a finished one takes the place of a cancelled one, never the reverse.

        The result is committed when this returns, and so is all that `put_soon` took before.

        Raises:
            StoreError: it can't be written.
        """
        self._flush()
        self._write([_row(key, outcome, done, run)])
        self.filled = True

    def put_soon(
        self, key: str, outcome: str, *, done: bool, run: str | None = None
    ) -> Group | None:
        """The same at the end of this turn of the event loop, with all others that come in it.

        Returns:
            what tells when the result is committed; None if it is already, for no event loop
            runs here, or trio's. There tasks that are woken together go on in any order, but
            programs must see results in the order in which they are stored.

        Raises:
            StoreError: it is written at once, and can't be.
        """
        thread = get_ident()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.put(key, outcome, done=done, run=run)
            return None
        group = self._groups.get(thread)
        if group is None or group.loop is not loop:
            self._flush()
            group = self._groups[thread] = Group(self._write, loop)
            loop.call_soon(self._close, thread, group)
        group.add(_row(key, outcome, done, run))
        self.filled = True
        return group

    def _write(self, rows: Sequence[Row]) -> None:
        self.database.change(self._put, rows)

    def _close(self, thread: int, group: Group) -> None:
        if self._groups.get(thread) is group:
            del self._groups[thread]
        group.close()

    def _flush(self) -> None:
        """Write what waits to be written, of all threads."""
        for group in list(self._groups.values()):
            group.flush()

    def profiles(self) -> dict[str, str]:
        """What was learned of programs, as JSON by key, longest unchanged first."""
        return self._all(_profiles)

    def keep_profiles(self, changed: Mapping[str, str], dropped: Iterable[str] = ()) -> None:
        """Keep profiles by key, and forget some, both or neither."""
        self._change(_profiles, changed, dropped)

    def graphs(self) -> dict[str, str]:
        """The execution graphs of programs, as JSON by name, longest unchanged first."""
        return self._all(_graphs)

    def keep_graphs(self, changed: Mapping[str, str], dropped: Iterable[str] = ()) -> None:
        """Keep execution graphs by name, and forget some, both or neither."""
        self._change(_graphs, changed, dropped)

    def calibration(self, key: str) -> str | None:
        """The calibration under a key, as JSON."""
        row = self.database.first(_CALIBRATION, {"key": key})
        return None if row is None else row[0]

    def calibrations(self) -> dict[str, str]:
        """All calibrations, as JSON by key, longest unchanged first."""
        return self._all(_calibrations)

    def keep_calibrations(self, changed: Mapping[str, str]) -> None:
        """Keep calibrations by key."""
        self._change(_calibrations, changed, ())

    def _all(self, table: Table) -> dict[str, str]:
        """All of a table of keys and texts."""
        key, text, at = table.c
        with self.database.reading() as connection:
            rows = connection.execute(select(key, text).order_by(at, key))
            return {name: kept for name, kept in rows}

    def _change(self, table: Table, changed: Mapping[str, str], dropped: Iterable[str]) -> None:
        key, text, at = (column.name for column in table.c)
        now = time.time()
        # In order of their keys: two that write at once wait for each other, and no more.
        rows = [{key: name, text: changed[name], at: now} for name in sorted(changed)]
        gone = sorted(dropped)
        with self.database.writing() as connection:
            for begin in range(0, len(gone), 500):  # SQLite limits the values of a statement
                some = table.c[key].in_(gone[begin : begin + 500])
                connection.execute(delete(table).where(some))
            if rows:
                connection.execute(self.database.upsert(table), rows)

    def close(self) -> None:
        """Write what waits, and close the file, or the connections."""
        self._flush()
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
