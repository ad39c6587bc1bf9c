"""The tables in which the service keeps its programs, next to the Store's own."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)

from weft.store.database import Database

_metadata = MetaData()
_programs = Table(
    "programs",
    _metadata,
    Column("program", String(32), primary_key=True),
    Column("seen", Float, nullable=False),
    Column("kept", Text, nullable=False),
    Column("block_size", Integer, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)
_conversations = Table(
    "conversations",
    _metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("program", String(32), nullable=False, index=True),
    Column("seen", Float, nullable=False, index=True),
)
_responses = Table(
    "responses",
    _metadata,
    Column("response", LargeBinary, primary_key=True),
    Column("engine", Text, nullable=False),
    Column("seen", Float, nullable=False, index=True),
)
_notes = Table(
    "notes",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
_SECRET = "secret"  # is no JSON, as the names of notes are


class Tables:
    """Rows of programs, by their keys, and of conversations.

    Args:
        database: the Store's.
        most_chains: bytes of all chains together.
        most_conversations: how many are kept.

    Raises:
        StoreError: by all of it, if the database fails.
    """

    def __init__(self, database: Database, most_chains: int, most_conversations: int) -> None:
        self._database, self._most_chains = database, most_chains
        self._most_conversations = most_conversations
        database.create(_metadata)
        size = func.length(_programs.c.chain)
        with database.reading() as connection:
            wanted = select(_programs.c.program, size).where(size > 0).order_by(_programs.c.seen)
            self._chains = OrderedDict((key, size) for key, size in connection.execute(wanted))
        self._bytes = sum(self._chains.values())
        self._new_conversations = self._new_responses = 0
        # A write that nobody waits for any more is not overtaken by the next one.
        self._turn = threading.Lock()

    def secret(self) -> bytes:
        """32 random bytes, made when first asked for."""
        made = {"name": _SECRET, "value": secrets.token_hex(32)}
        with self._database.writing() as connection:
            connection.execute(self._database.insert(_notes).on_conflict_do_nothing(), made)
            wanted = select(_notes.c.value).where(_notes.c.name == _SECRET)
            found: str = connection.execute(wanted).scalar_one()
        self._database.protect()
        return bytes.fromhex(found)

    def notes(self) -> dict[str, str]:
        """All notes by name."""
        wanted = select(_notes.c.name, _notes.c.value).where(_notes.c.name != _SECRET)
        with self._database.reading() as connection:
            return {name: value for name, value in connection.execute(wanted)}

    def write_notes(self, notes: Mapping[str, str]) -> None:
        """Keep notes by name."""
        rows = [{"name": name, "value": value} for name, value in notes.items()]
        with self._turn, self._database.writing() as connection:
            connection.execute(self._database.upsert(_notes), rows)

    def programs(self) -> list[tuple[str, str, int, bytes]]:
        """All: key, what is kept, block size, chain; in order of when they were seen."""
        columns = _programs.c
        wanted = select(columns.program, columns.kept, columns.block_size, columns.chain)
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(columns.seen))
            return [(key, kept, size, chain) for key, kept, size, chain in rows]

    def conversations(self) -> list[tuple[bytes, str, float]]:
        """All: digest, key of the program, when seen; in that order."""
        columns = _conversations.c
        wanted = select(columns.digest, columns.program, columns.seen).order_by(columns.seen)
        with self._database.reading() as connection:
            return [(digest, key, seen) for digest, key, seen in connection.execute(wanted)]

    def responses(self) -> list[tuple[bytes, str]]:
        """All: key of a response, the engine that holds it; in the order in which they came."""
        columns = _responses.c
        wanted = select(columns.response, columns.engine).order_by(columns.seen)
        with self._database.reading() as connection:
            return [(key, engine) for key, engine in connection.execute(wanted)]

    def write_responses(self, rows: Sequence[tuple[bytes, str, float]]) -> None:
        """Keep some: key, engine, when it came."""
        with self._turn, self._database.writing() as connection:
            connection.execute(
                self._database.upsert(_responses),
                [{"response": key, "engine": engine, "seen": at} for key, engine, at in rows],
            )
            self._new_responses += len(rows)
            if self._new_responses > self._most_conversations // 8:
                seen = _responses.c.seen
                last = select(seen).order_by(seen.desc()).offset(self._most_conversations).limit(1)
                connection.execute(delete(_responses).where(seen <= last.scalar_subquery()))
                self._new_responses = 0

    def write_programs(self, rows: Sequence[dict[str, Any]], gone: Sequence[str]) -> None:
        """Keep some programs and forget others, with their conversations."""
        with self._turn:
            self._write_programs(rows, gone)

    def _write_programs(self, rows: Sequence[dict[str, Any]], gone: Sequence[str]) -> None:
        with self._database.writing() as connection:
            if gone:
                for table in (_programs, _conversations):
                    connection.execute(delete(table).where(table.c.program.in_(gone)))
            if rows:
                connection.execute(self._database.upsert(_programs), rows)
        for key in [*gone, *(row["program"] for row in rows)]:
            self._bytes -= self._chains.pop(key, 0)
        for row in rows:
            size = self._chains[row["program"]] = len(row["chain"])
            self._bytes += size
        if self._bytes > self._most_chains:
            self._drop_chains()

    def _drop_chains(self) -> None:
        """Forget the oldest chains, until the others are few enough."""
        excess, oldest = self._bytes - self._most_chains, list[str]()
        for key, size in self._chains.items():
            if excess <= 0:
                break
            oldest.append(key)
            excess -= size
        with self._database.writing() as connection:
            for begin in range(0, len(oldest), 500):
                some = _programs.c.program.in_(oldest[begin : begin + 500])
                connection.execute(update(_programs).where(some).values(chain=b""))
        for key in oldest:
            self._bytes -= self._chains.pop(key)

    def write_conversations(self, rows: Sequence[tuple[bytes, str, float]]) -> None:
        """Keep some: digest, program, when seen."""
        with self._turn, self._database.writing() as connection:
            connection.execute(
                self._database.upsert(_conversations),
                [{"digest": digest, "program": key, "seen": at} for digest, key, at in rows],
            )
            self._new_conversations += len(rows)
            if self._new_conversations > self._most_conversations // 8:
                # The newest ones stay.
                seen = _conversations.c.seen
                last = select(seen).order_by(seen.desc()).offset(self._most_conversations).limit(1)
                connection.execute(delete(_conversations).where(seen <= last.scalar_subquery()))
                self._new_conversations = 0
