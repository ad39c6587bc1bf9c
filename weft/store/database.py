"""Database: SQLite in a file or in memory, or PostgreSQL; what else is kept lives in it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Executable,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from weft.errors import StoreError
from weft.store.statements import SingleStatements

_FORMAT = 1
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
# PostgreSQL has no number for it in the file, as SQLite does.
_format = Table("weft_format", MetaData(), Column("version", Integer, primary_key=True))
_PATIENCE = {
    # Seconds, or ms where the name says nothing: a server that is gone is noticed.
    "connect_timeout": "5",
    "tcp_user_timeout": "10000",
    "options": "-c statement_timeout=15000 -c lock_timeout=5000",
}


class Database:
    """A SQL database. It may be used by several threads at once.

    Connections that broke are replaced, so a server that was gone may come back.

    Args:
        where: a file; `sqlite:///FILE`; `postgresql://USER:PASSWORD@HOST/NAME`; None keeps all
            in memory.
        tables: are made where they are missing.

    Attributes:
        path: the file, if it is one.
        name: for messages: the file, or the URL without its password.
        dialect: `sqlite` or `postgresql`.

    Raises:
        StoreError: it can't be opened, or another version of weft wrote it.
    """

    def __init__(self, where: str | Path | None, tables: MetaData) -> None:
        url = _address(where)
        self.path = _file(url)
        self.name = str(self.path) if self.path is not None else _without_password(url)
        self.dialect = url.get_backend_name()
        # One connection is all there is to a database in memory.
        volatile = self.dialect == "sqlite" and self.path is None
        self._turn = threading.RLock() if volatile else nullcontext()
        self._engine = _open(url, self.name)
        self._fast = SingleStatements(self._engine) if self.dialect == "sqlite" else None
        self._insert = sqlite.insert if self.dialect == "sqlite" else postgresql.insert
        try:
            with self._engine.begin() as connection:
                self._prepare(connection)
                _create(connection, tables)
        except SQLAlchemyError as error:
            self.close()
            raise StoreError(
                f"store {self.name} can't be opened ({_reason(error)}); {_remedy(error)}"
            ) from None
        except StoreError:
            self.close()
            raise

    def _prepare(self, connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            if strange := _strange(connection.exec_driver_sql):
                raise StoreError(
                    f"store {self.name} is a database of something else, with the table "
                    f"{strange!r}; name another file, and weft makes it"
                )
            version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            versions = {version} - {0}
        else:
            _create(connection, _format.metadata)
            versions: set[int] = set(connection.scalars(select(_format.c.version)))
        if others := versions - {_FORMAT}:
            raise StoreError(
                f"store {self.name} has format {max(others)}, this weft reads {_FORMAT}; "
                "use another"
            )
        if versions:
            return
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA user_version={_FORMAT}")
        else:
            connection.execute(_format.insert(), {"version": _FORMAT})

    def create(self, tables: MetaData) -> None:
        """Make tables where they are missing.

        Raises:
            StoreError: they can't be made.
        """
        with self.writing() as connection:
            _create(connection, tables)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A connection to read with.

        Raises:
            StoreError: it can't be read.
        """
        with self._turn, self.failing("read"), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction: what the block writes is kept as a whole, or not at all.

        Raises:
            StoreError: it can't be written.
        """
        with self._turn, self.failing("written"), self._engine.begin() as connection:
            yield connection

    def session(self) -> Connection:
        """A connection that commits each statement, for what lasts as long as a connection."""
        return self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def first(self, wanted: Executable, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """The first row of a query that is asked again and again.

        Args:
            wanted: the same object each time.
            values: its parameters.

        Raises:
            StoreError: it can't be read.
        """
        if self._fast is not None:
            try:
                with self._turn:
                    return self._fast.first(wanted, values)
            except (SQLAlchemyError, sqlite3.Error) as error:
                raise self._failure("read", error) from None
        with self.reading() as connection:
            return connection.execute(wanted, values).first()

    def change(self, change: Executable, values: Sequence[Mapping[str, Any]]) -> None:
        """Make changes of a kind that is made again and again, and commit them: all, or none.

        Args:
            change: the same object each time.
            values: the parameters of each, in the order in which they are made.

        Raises:
            StoreError: it can't be written.
        """
        if self._fast is not None:
            try:
                with self._turn:
                    self._fast.change(change, values)
            except (SQLAlchemyError, sqlite3.Error) as error:
                raise self._failure("written", error) from None
            return
        with self.writing() as connection:
            connection.execute(change, values)

    @contextmanager
    def failing(self, what: str) -> Generator[None]:
        """Raise what fails in the block as a `StoreError`: that the store can't be `what`."""
        try:
            yield
        except SQLAlchemyError as error:
            raise self._failure(what, error) from None

    def _failure(self, what: str, error: Exception) -> StoreError:
        return StoreError(f"store {self.name} can't be {what} ({_reason(error)})")

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that can say what happens to rows that are there."""
        return self._insert(table)

    def upsert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An insert of rows that take the place of those with the same primary key."""
        made = self._insert(table)
        rest = {c.name: made.excluded[c.name] for c in table.columns if not c.primary_key}
        return made.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)

    def protect(self) -> None:
        """Have nobody but the owner read the file, if it is one."""
        if self.path is None:
            return
        for name in (self.path, Path(f"{self.path}-wal"), Path(f"{self.path}-shm")):
            if name.exists():
                name.chmod(0o600)

    def close(self) -> None:
        """Close all connections."""
        if self._fast is not None:
            self._fast.close()
        self._engine.dispose()


def _address(where: str | Path | None) -> URL:
    """The URL of what was given."""
    if where is None:
        return URL.create("sqlite")
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    scheme = where.partition("://")[0].lower()
    forms = "write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    kind = scheme.partition("+")[0]
    if kind not in ("sqlite", "postgresql", "postgres"):
        raise StoreError(f"a store can't be kept in {scheme}; {forms}")
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise StoreError(f"the store's {scheme} URL can't be read; {forms}") from None
    return url.set(drivername="sqlite" if kind == "sqlite" else "postgresql+psycopg")


def _file(url: URL) -> Path | None:
    database = url.database
    if url.get_backend_name() != "sqlite" or not database or database == ":memory:":
        return None
    return Path(database)


def _without_password(url: URL) -> str:
    shown = url.set(drivername=url.get_backend_name()).difference_update_query(["password"])
    return shown.render_as_string(hide_password=True) if url.host or url.database else "in memory"


def _open(url: URL, name: str) -> Engine:
    options: dict[str, Any]
    if url.get_backend_name() != "sqlite":
        patience = {key: value for key, value in _PATIENCE.items() if key not in url.query}
        try:
            # A connection is tried before it is used again, for the server may have gone.
            return create_engine(url, pool_pre_ping=True, pool_size=2, connect_args=patience)
        except ImportError:
            raise StoreError(
                f"store {name} needs psycopg; install it with: pip install 'weft[postgres]'"
            ) from None
    path = _file(url)
    if path is None:
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    else:
        options = {"pool_size": 2}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder of store {name} can't be made ({error.strerror}); name another"
            ) from None
    engine = create_engine(url, **options)

    def prepare(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        # A crash of the machine may lose the last results, a crash of weft none.
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.execute("PRAGMA synchronous=NORMAL")
        if not _strange(cursor.execute):  # for the file keeps it
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()

    event.listen(engine, "connect", prepare)
    return engine


def _strange(execute: Callable[[str], Any]) -> str:
    """The name of a table, if a SQLite file is a database that weft did not make; else empty."""
    # Tables first: another process may make them at this moment, and its version before them.
    tables = execute(_TABLES).fetchall()
    version = execute("PRAGMA user_version").fetchone()[0]
    return tables[0][0] if tables and version == 0 else ""


def _create(connection: Connection, tables: MetaData) -> None:
    if connection.dialect.name != "sqlite":
        # PostgreSQL fails if two that start at once do this.
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('weft'))"))
    for table in tables.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        # Columns that are younger than a table are added to it; older versions don't mind them.
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                added = f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}'
                connection.execute(text(added))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))


def _remedy(error: BaseException) -> str:
    readonly = "readonly" in str(error)
    return "make it writable, or name another" if readonly else "name another, or repair it"


def _reason(error: BaseException) -> str:
    """What the database said, in one line."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(said).split())
