"""A coding agent in pydantic-ai, durable by DBOS: each request and each tool is a step."""

from dbos import DBOS, SetWorkflowID  # pyright: ignore[reportMissingImports]
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.durable_exec.dbos import DBOSDurability

from world import CODING_RULES, TOOLS, TURNS


def declare(model):
    tools = [DBOS.step()(one) for one in TOOLS]
    durable = [DBOSDurability()]
    agent = Agent(model, name="c", instructions=CODING_RULES, tools=tools, capabilities=durable)

    @DBOS.workflow()
    async def mend(question: str):
        return (await agent.run(question, usage_limits=UsageLimits(request_limit=TURNS))).output

    async def main(question: str):
        with SetWorkflowID("coding"):
            return await (await DBOS.start_workflow_async(mend, question)).get_result()

    return main
