"""Text to SQL: several queries are written, the database runs them, and what they give votes.

Two queries that are written differently but give the same rows agree. A query that the database
refuses is shown the database's words once.

    weft run examples/text_to_sql.py -a question="Who borrowed the most books?" -e ENGINE
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from pydantic import BaseModel, Field

from weft import Prompt, generate, node, program
from weft.search import majority_of

LIBRARY = """
create table readers (id integer primary key, name text, town text);
create table loans (reader integer references readers (id), title text, days integer);
insert into readers values (1, 'Ada', 'Bern'), (2, 'Ben', 'Basel'), (3, 'Cleo', 'Bern');
insert into loans values (1, 'Bees', 12), (1, 'Moss', 30), (2, 'Bees', 3), (3, 'Tides', 9),
    (1, 'Tides', 7), (3, 'Moss', 21);
"""


class Query(BaseModel):
    """What the model writes."""

    sql: str = Field(description="one SQLite select statement")


@dataclass
class Found:
    """A query, and the rows that it gives."""

    sql: str
    rows: list[tuple[object, ...]]


def rows_of(sql: str) -> list[tuple[object, ...]]:
    """What the database answers; nothing can be changed."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(LIBRARY)
        database.execute("pragma query_only = on")
        return database.execute(sql).fetchall()


@node
async def attempt(question: str) -> Found | None:
    """A query that the database takes, and its rows."""
    prompt = Prompt.system(f"Answer by one SQLite query. The tables:\n{LIBRARY}").user(question)
    for _ in range(2):
        said = await generate(prompt, returns=Query, temperature=0.8, max_tokens=400)
        try:
            return Found(said.value.sql, rows_of(said.value.sql))
        except sqlite3.Error as error:
            prompt = said.prompt.user(f"The database says: {error}. Write the query again.")
    return None


@program
async def text_to_sql(question: str = "Who borrowed the most books?", n: int = 5) -> Found | None:
    """The rows that most queries agree on; queries that can't change the vote are cancelled."""
    return (await majority_of(attempt, question, n=n, same=lambda a, b: a.rows == b.rows)).value
