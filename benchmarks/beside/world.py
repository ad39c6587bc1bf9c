"""What the programs have in common, whichever framework runs them: prompts, types, tools, data."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import anyio
from pydantic import BaseModel

FOLDER = Path()
"""Where a run works; set before it begins."""


def note(what: str) -> None:
    """Keep that something was done, and when."""
    with (FOLDER / "notes.jsonl").open("a") as file:
        file.write(json.dumps([what, time.monotonic()]) + "\n")


# Text to SQL: several queries are written, and the rows that most of them give are the answer.

LIBRARY = """
create table readers (id integer primary key, name text, town text);
create table loans (reader integer references readers (id), title text, days integer);
insert into readers values (1, 'Ada', 'Bern'), (2, 'Ben', 'Basel'), (3, 'Cleo', 'Bern');
insert into loans values (1, 'Bees', 12), (1, 'Moss', 30), (2, 'Bees', 3), (3, 'Tides', 9),
    (1, 'Tides', 7), (3, 'Moss', 21);
"""
SQL_RULES = f"Answer by one SQLite query. The tables:\n{LIBRARY}"
SQL_QUESTION = "Who borrowed the most books?"
ATTEMPTS = 5


class Query(BaseModel):
    """What the model writes."""

    reason: str
    sql: str


def rows_of(sql: str) -> str:
    """What the database answers."""
    try:
        with closing(sqlite3.connect(":memory:")) as database:
            database.executescript(LIBRARY)
            return str(database.execute(sql).fetchall())
    finally:
        note("rows")


def complaint(error: Exception) -> str:
    """What the model is told when the database refuses its query."""
    return f"The database says: {error}. Write the query again."


# A coding agent: reads a file, mends it by tools, and commits what it did.

CODING_RULES = "Mend the file, so that its tests pass. Then commit, and say what you did."
CODING_QUESTION = "Mend dates.py."
TURNS = 12
BROKEN = "def leap(year)\n    return year % 4 == 0\n"


async def read() -> str:
    """Read the file."""
    path = FOLDER / "dates.py"
    return path.read_text() if path.exists() else BROKEN


async def replace(old: str, new: str) -> str:
    """Replace a text in the file."""
    text = await read()
    (FOLDER / "dates.py").write_text(text.replace(old, new))
    return "replaced" if old in text else "the file has no such text"


async def commit(message: str) -> str:
    """Commit the file."""
    note("commit")
    return f"committed: {message}"


async def test() -> str:
    """Run the tests."""
    note("test")
    await anyio.sleep(0.4)
    text = await read()
    return "all tests pass" if "% 100" in text and "(year):" in text else "a test fails"


TOOLS = [read, replace, commit, test]


# A RAG loop: the model searches until the passages say the answer.

RAG_RULES = "Answer from the passages alone. Search for what you still need, or answer."
RAG_QUESTION = "Near which town do Ada's bees live?"
ROUNDS = 6
PASSAGES = {
    "Ada": "Ada is a beekeeper. Her hives stand in the garden of the old mill.",
    "Mill": "The old mill is a house by the river Aare, next to the ferry.",
    "Ferry": "The ferry crosses the Aare three kilometres north of Bern.",
    "Ben": "Ben keeps goats in Basel, and sells cheese on Saturdays.",
    "Moss": "Moss grows on the north side of trees and on damp walls.",
}


class Step(BaseModel):
    """What the model does next: it searches, or answers."""

    thought: str
    search: str | None = None
    answer: str | None = None


def find(query: str) -> str:
    """The two passages that fit a query best."""
    words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("create virtual table docs using fts5(name, text, tokenize=porter)")
        database.executemany("insert into docs values (?, ?)", PASSAGES.items())
        asked = "select name, text from docs where docs match ? order by rank limit 2"
        return "\n".join(f"[{name}] {text}" for name, text in database.execute(asked, (words,)))
