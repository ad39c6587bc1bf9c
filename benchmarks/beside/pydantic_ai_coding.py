"""A coding agent in pydantic-ai."""

from pydantic_ai import Agent, UsageLimits

from world import CODING_RULES, TOOLS, TURNS


async def main(model, question: str):
    agent = Agent(model, instructions=CODING_RULES, tools=TOOLS)
    return (await agent.run(question, usage_limits=UsageLimits(request_limit=TURNS))).output
