"""Text to SQL in weft."""

import sqlite3
from pathlib import Path

from weft import Pool, Prompt, Store, generate, node, program, run
from weft.search import majority_of
from world import ATTEMPTS, SQL_RULES, Query, complaint, rows_of


@node
async def attempt(question: str):
    prompt = Prompt.system(SQL_RULES).user(question)
    for _ in range(2):
        said = await generate(prompt, returns=Query)
        try:
            return rows_of(said.value.sql)
        except sqlite3.Error as error:
            prompt = said.prompt.user(complaint(error))
    return None


@program
async def answer(question: str):
    return (await majority_of(attempt, question, n=ATTEMPTS)).value


async def main(pool: Pool, folder: Path, question: str):
    with Store(folder / "runs.db") as store:
        return (await run(answer, question, pool=pool, store=store, id="sql")).value
