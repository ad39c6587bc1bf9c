"""A RAG loop in pydantic-ai, durable by DBOS."""

from dbos import DBOS, SetWorkflowID  # pyright: ignore[reportMissingImports]
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.durable_exec.dbos import DBOSDurability

from world import RAG_RULES, ROUNDS, Step, find


def declare(model):
    output = NativeOutput(Step)
    durable = [DBOSDurability()]
    agent = Agent(model, name="r", instructions=RAG_RULES, output_type=output, capabilities=durable)

    @DBOS.workflow()
    async def look_up(question: str):
        asked, history = f"{question}\n\n{find(question)}", None
        for _ in range(ROUNDS):
            said = await agent.run(asked, message_history=history)
            if said.output.answer:
                return said.output.answer
            asked, history = find(said.output.search or question), said.all_messages()
        return None

    async def main(question: str):
        with SetWorkflowID("rag"):
            return await (await DBOS.start_workflow_async(look_up, question)).get_result()

    return main
