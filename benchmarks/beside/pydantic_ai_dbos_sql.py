"""Text to SQL in pydantic-ai, durable by DBOS: each attempt is a workflow of its own."""

import sqlite3
from collections import Counter

from dbos import DBOS, SetWorkflowID  # pyright: ignore[reportMissingImports]
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.durable_exec.dbos import DBOSDurability

from world import ATTEMPTS, SQL_RULES, Query, complaint, rows_of


def declare(model):
    output = NativeOutput(Query)
    durable = [DBOSDurability()]
    writer = Agent(
        model, name="w", instructions=SQL_RULES, output_type=output, capabilities=durable
    )

    @DBOS.workflow()
    async def attempt(question: str):
        said, asked = None, question
        for _ in range(2):
            said = await writer.run(asked, message_history=said.all_messages() if said else None)
            try:
                return rows_of(said.output.sql)
            except sqlite3.Error as error:
                asked = complaint(error)
        return None

    @DBOS.workflow()
    async def answer(question: str):
        votes = Counter()
        left = [await DBOS.start_workflow_async(attempt, question) for _ in range(ATTEMPTS)]
        while left:
            one = await DBOS.wait_first_async(left, polling_interval_sec=0.02)
            left.remove(one)
            rows = await one.get_result()
            votes[rows] += rows is not None
            if votes[rows] > ATTEMPTS // 2:
                await DBOS.cancel_workflows_async([other.workflow_id for other in left])
                return rows
        return votes.most_common(1)[0][0]

    async def main(question: str):
        with SetWorkflowID("sql"):
            return await (await DBOS.start_workflow_async(answer, question)).get_result()

    return main
