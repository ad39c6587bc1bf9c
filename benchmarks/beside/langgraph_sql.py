"""Text to SQL in LangGraph's functional API: what a task gave is kept when the task ends."""
# pyright: reportArgumentType=false

import asyncio
import sqlite3
from collections import Counter

from langgraph.func import entrypoint, task

from world import ATTEMPTS, SQL_RULES, Query, complaint, rows_of


async def main(model, saver, question: str):
    writer = model.with_structured_output(Query, include_raw=True)

    @task
    async def attempt(question: str):
        talk = [("system", SQL_RULES), ("user", question)]
        for _ in range(2):
            said = await writer.ainvoke(talk)
            try:
                return rows_of(said["parsed"].sql)
            except sqlite3.Error as error:
                talk += [said["raw"], ("user", complaint(error))]
        return None

    @entrypoint(checkpointer=saver)
    async def answer(question: str):
        votes = Counter()
        attempts = [asyncio.ensure_future(attempt(question)) for _ in range(ATTEMPTS)]
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

    thread = {"configurable": {"thread_id": "sql"}}
    begun = await saver.aget(thread) is not None
    return await answer.ainvoke(None if begun else question, thread)
