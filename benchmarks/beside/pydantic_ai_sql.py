"""Text to SQL in pydantic-ai: agents that asyncio runs side by side."""

import asyncio
import sqlite3
from collections import Counter

from pydantic_ai import Agent, NativeOutput

from world import ATTEMPTS, SQL_RULES, Query, complaint, rows_of


async def main(model, question: str):
    writer = Agent(model, instructions=SQL_RULES, output_type=NativeOutput(Query))

    async def attempt():
        said, asked = None, question
        for _ in range(2):
            said = await writer.run(asked, message_history=said.all_messages() if said else None)
            try:
                return rows_of(said.output.sql)
            except sqlite3.Error as error:
                asked = complaint(error)
        return None

    votes = Counter()
    attempts = [asyncio.create_task(attempt()) for _ in range(ATTEMPTS)]
    try:
        for one in asyncio.as_completed(attempts):
            rows = await one
            votes[rows] += rows is not None
            if votes[rows] > ATTEMPTS // 2:
                return rows
    finally:
        for one in attempts:
            one.cancel()
    return votes.most_common(1)[0][0]
