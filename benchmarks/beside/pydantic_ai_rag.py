"""A RAG loop in pydantic-ai."""

from pydantic_ai import Agent, NativeOutput

from world import RAG_RULES, ROUNDS, Step, find


async def main(model, question: str):
    agent = Agent(model, instructions=RAG_RULES, output_type=NativeOutput(Step))
    asked, history = f"{question}\n\n{find(question)}", None
    for _ in range(ROUNDS):
        said = await agent.run(asked, message_history=history)
        if said.output.answer:
            return said.output.answer
        asked, history = find(said.output.search or question), said.all_messages()
    return None
