"""Runs that have an id, and what each of them did once: deeds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from weft.store.database import Database

RunState = Literal["running", "done", "failed", "stopped", "cancelled", "forked"]
DeedState = Literal["begun", "waiting", "answered", "done", "failed"]

_metadata = MetaData()
_runs = Table(
    "runs",
    _metadata,
    Column("id", String(200), primary_key=True),
    Column("program", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("began", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Column("owner", Text, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("said", Text, nullable=False),
    Column("usage", Text, nullable=False),
    Column("fork_of", String(200)),
    Column("fork_at", BigInteger),
)
_deeds = Table(
    "deeds",
    _metadata,
    Column(
        "order", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    Column("run", String(200), index=True, nullable=False),
    Column("key", String(64), nullable=False),
    Column("branch", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", Float, nullable=False),
    Column("until", Float),
    Column("said", Text, nullable=False),
    UniqueConstraint("run", "key"),
    sqlite_autoincrement=True,
)


class KeptRun(NamedTuple):
    """A run that has an id, as it is kept.

    Attributes:
        id: its name.
        program: the name of its program.
        source: `FILE.py:NAME` of its program; empty where that can't be named so.
        arguments: of its program, a JSON object.
        state: `running` also where its process has died; `stopped` if it was left or
            interrupted; `cancelled` from elsewhere; `forked` and not begun yet.
        began: when it first began, in seconds since 1970; so are the other times.
        changed: when its state last changed.
        seen: when its process last said that it lives.
        owner: host, process and object that run it.
        cancel: whether somebody wants it cancelled.
        said: its value as JSON if it is done, or its error.
        usage: what its calls had cost when it ended, as JSON.
        fork_of: the run that it goes on from, if it is a fork.
        fork_at: the order of the first deed of that run which it does anew.
    """

    id: str
    program: str
    source: str
    arguments: str
    state: RunState
    began: float
    changed: float
    seen: float
    owner: str
    cancel: bool
    said: str
    usage: str
    fork_of: str | None
    fork_at: int | None


class Deed(NamedTuple):
    """What a run does once.

    Attributes:
        order: a number; later deeds have a higher one.
        run: the run's id.
        key: tells it from other deeds of the run.
        branch: of the run, in which it was begun; empty outside fan-outs.
        kind: `once` for a function, `person` for a question to a person, `sleep` for a wait,
            `seen` for what was looked up in a world that changes.
        name: of the function; the question.
        arguments: as JSON; of a question its details.
        state: `waiting` is a question without an answer, or a wait that is not over; `answered`
            one whose answer its run has not read yet.
        at: when it began, in seconds since 1970.
        until: when a wait is over.
        said: an answer that its run has not read yet, an error, or why an answer was none.
    """

    order: int
    run: str
    key: str
    branch: str
    kind: str
    name: str
    arguments: str
    state: DeedState
    at: float
    until: float | None
    said: str


class KeptRuns:
    """The runs with ids in a database.

    Args:
        database: has them; the tables are made where they are missing.

    Raises:
        StoreError: the database can't be read or written; so do all methods.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_metadata)

    def get(self, id: str) -> KeptRun | None:
        """A run by its id."""
        with self._database.reading() as connection:
            row = connection.execute(select(_runs).where(_runs.c.id == id)).first()
        return None if row is None else KeptRun(*row)

    def all(self) -> list[KeptRun]:
        """All runs, those that changed last first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(_runs).order_by(_runs.c.changed.desc())).fetchall()
        return [KeptRun(*row) for row in rows]

    def add(self, run: KeptRun) -> bool:
        """Keep a new run; whether there was none of its id."""
        try:
            with self._database.writing() as connection:
                connection.execute(insert(_runs), run._asdict())
        except Exception as error:  # the database's own, or as it tells of it
            if isinstance(error, IntegrityError) or self.get(run.id) is not None:
                return False
            raise
        return True

    def take(self, id: str, owner: str, before: str) -> bool:
        """Make a run one's own; whether its owner was still the one of `before`."""
        now = time.time()
        change = (
            update(_runs)
            .where(and_(_runs.c.id == id, _runs.c.owner == before))
            .values(owner=owner, state="running", changed=now, seen=now, cancel=False, said="")
        )
        with self._database.writing() as connection:
            return connection.execute(change).rowcount == 1

    def see(self, id: str, owner: str) -> bool:
        """Say that a run's process lives; whether the run is to be cancelled.

        It is, too, if another process has taken the run: one that was silent for too long.
        """
        mine = and_(_runs.c.id == id, _runs.c.owner == owner)
        with self._database.writing() as connection:
            connection.execute(update(_runs).where(mine).values(seen=time.time()))
            wanted = connection.execute(select(_runs.c.cancel).where(mine)).scalar()
        return wanted is None or bool(wanted)

    def end(self, id: str, state: RunState, said: str, usage: str, *, owner: str) -> None:
        """Keep how a run ended, if it is still its owner's."""
        ended = (
            update(_runs)
            .where(and_(_runs.c.id == id, _runs.c.owner == owner))
            .values(
                state=state, said=said, usage=usage, changed=time.time(), owner="", cancel=False
            )
        )
        with self._database.writing() as connection:
            connection.execute(ended)

    def cancel(self, id: str) -> None:
        """Have a run's process cancel the run."""
        with self._database.writing() as connection:
            connection.execute(update(_runs).where(_runs.c.id == id).values(cancel=True))

    def forget(self, id: str) -> None:
        """Forget a run and its deeds; results of its calls stay."""
        with self._database.writing() as connection:
            connection.execute(delete(_deeds).where(_deeds.c.run == id))
            connection.execute(delete(_runs).where(_runs.c.id == id))

    def deeds(self, run: str) -> list[Deed]:
        """The deeds of a run, in the order in which they began."""
        wanted = select(_deeds).where(_deeds.c.run == run).order_by(_deeds.c.order)
        with self._database.reading() as connection:
            return _as_deeds(connection.execute(wanted).fetchall())

    def waiting(self) -> list[Deed]:
        """The questions to people that have no answer yet, of all runs."""
        wanted = (
            select(_deeds)
            .where(and_(_deeds.c.kind == "person", _deeds.c.state == "waiting"))
            .order_by(_deeds.c.order)
        )
        with self._database.reading() as connection:
            return _as_deeds(connection.execute(wanted).fetchall())

    def deed(self, run: str, key: str) -> Deed | None:
        """A deed of a run by its key."""
        wanted = select(_deeds).where(and_(_deeds.c.run == run, _deeds.c.key == key))
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else Deed(*row)

    def begin_deed(
        self,
        run: str,
        key: str,
        branch: str,
        kind: str,
        name: str,
        arguments: str,
        state: DeedState,
        until: float | None = None,
    ) -> Deed:
        """Keep that a deed begins, or begins again; gives what is kept of it.

        What was said of it before, and until when it waits, stays.
        """
        if (before := self.deed(run, key)) is not None:
            self.change_deed(before, state=state)
            return before._replace(state=state)
        values = {
            "run": run,
            "key": key,
            "branch": branch,
            "kind": kind,
            "name": name,
            "arguments": arguments,
            "state": state,
            "at": time.time(),
            "until": until,
            "said": "",
        }
        with self._database.writing() as connection:
            connection.execute(insert(_deeds), values)
        made = self.deed(run, key)
        assert made is not None
        return made

    def change_deed(self, deed: Deed, **values: Any) -> None:
        """Change some of what is kept of a deed."""
        with self._database.writing() as connection:
            connection.execute(update(_deeds).where(_deeds.c.order == deed.order).values(values))


def _as_deeds(rows: Sequence[Row[Any]]) -> list[Deed]:
    return [Deed(*row) for row in rows]
