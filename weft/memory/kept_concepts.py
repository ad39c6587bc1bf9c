"""ConceptMemory: concepts in a Store's database, merged by name, and not more than so many."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import cast

from pydantic import ValidationError
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    select,
)

from weft.errors import StoreError, UsageError
from weft.memory.concept import Concept, key_of, merged
from weft.store.store import Store

_metadata = MetaData()
_memories = Table(
    "memories",
    _metadata,
    Column("name", String(200), primary_key=True),
    Column("changed", Float, nullable=False),
)
_concepts = Table(
    "concepts",
    _metadata,
    Column("memory", String(200), primary_key=True),
    Column("key", String(400), primary_key=True),
    Column("concept", Text, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("at", Float, nullable=False),
)


class ConceptMemory:
    """Concepts that are remembered, in the same database as a Store's results.

    Several programs and processes may write to one memory; what each adds is merged in a
    transaction. If there are too many concepts, those go that were used in the fewest problems;
    of equals those that changed longest ago.

    Args:
        store: SQLite or PostgreSQL.
        name: tells memories of a store apart.
        most: concepts that are kept at most.

    Raises:
        UsageError: an argument is out of range.
        StoreError: the store can't be read or written; so do all methods.
    """

    def __init__(self, store: Store, name: str = "concepts", *, most: int = 500) -> None:
        if not isinstance(cast(object, store), Store):
            raise UsageError(f"store={store!r:.60} must be a Store, such as Store('memory.db')")
        if not name or len(name) > 200:
            raise UsageError(f"name={name!r:.60} must have 1 to 200 characters")
        if type(most) is not int or most < 1:
            raise UsageError(f"most={most!r} must be a whole number of at least 1")
        self.name, self.most = name, most
        self._database = store.database
        self._database.create(_metadata)

    def all(self) -> list[Concept]:
        """All concepts as they are now, by name.

        A program that is to see in a rerun what it saw reads them by `recall`.
        """
        with self._database.reading() as connection:
            found = self._rows(connection)
        return [found[key] for key in sorted(found)]

    def __len__(self) -> int:
        return len(self.all())

    def add(self, concepts: Iterable[Concept], *, verified: bool) -> None:
        """Remember concepts; one whose name is known is merged with what is known.

        Adding the same again changes nothing, and the order does not matter unless there are too
        many.

        Args:
            concepts: to be remembered.
            verified: whether the solution that they come of was verified. It must be.

        Raises:
            UsageError: it was not.
        """
        if verified is not True:
            raise UsageError(
                "only concepts of verified solutions are remembered; check the solution, and then "
                "add(..., verified=True)"
            )
        given = list(concepts)
        for one in given:
            if not isinstance(cast(object, one), Concept):
                raise UsageError(f"a memory has concepts, not {one!r:.60}")
        with self._database.writing() as connection:
            # Whoever writes first has others wait: none overwrites what another has merged.
            about = {"name": self.name, "changed": time.time()}
            connection.execute(self._database.upsert(_memories), about)
            known = self._rows(connection)
            changed: dict[str, Concept] = {}
            for one in given:
                before = known.get(one.key)
                made = merged(before if before is not None else one, one)
                if made != before:
                    known[one.key] = changed[one.key] = made
            at = time.time()
            rows = [
                {
                    "memory": self.name,
                    "key": key,
                    "concept": changed[key].model_dump_json(),
                    "uses": len(changed[key].used),
                    "at": at,
                }
                for key in sorted(changed)
            ]
            if rows:
                connection.execute(self._database.upsert(_concepts), rows)
            self._forget_most(connection, len(known))

    def forget(self, *names: str) -> None:
        """Forget concepts by their names; names of none are let be."""
        keys = [key_of(name) for name in names]
        with self._database.writing() as connection:
            mine = and_(_concepts.c.memory == self.name, _concepts.c.key.in_(keys))
            connection.execute(delete(_concepts).where(mine))

    def clear(self) -> None:
        """Forget all."""
        with self._database.writing() as connection:
            connection.execute(delete(_concepts).where(_concepts.c.memory == self.name))

    def _rows(self, connection: Connection) -> dict[str, Concept]:
        wanted = select(_concepts.c.key, _concepts.c.concept).where(_concepts.c.memory == self.name)
        try:
            return {
                key: Concept.model_validate_json(text) for key, text in connection.execute(wanted)
            }
        except ValidationError:
            raise StoreError(
                f"a concept of memory {self.name!r} can't be read; clear() the memory"
            ) from None

    def _forget_most(self, connection: Connection, count: int) -> None:
        if count <= self.most:
            return
        order = _concepts.c.uses, _concepts.c.at, _concepts.c.key
        mine = _concepts.c.memory == self.name
        least = select(_concepts.c.key).where(mine).order_by(*order).limit(count - self.most)
        gone = list(connection.scalars(least))
        for begin in range(0, len(gone), 500):
            some = _concepts.c.key.in_(gone[begin : begin + 500])
            connection.execute(delete(_concepts).where(and_(mine, some)))
