"""A coding agent in LangGraph: its ready-made agent, with a checkpointer."""
# pyright: reportArgumentType=false

from langgraph.prebuilt import create_react_agent

from world import CODING_RULES, TOOLS, TURNS


async def main(model, saver, question: str):
    agent = create_react_agent(model, TOOLS, prompt=CODING_RULES, checkpointer=saver)
    thread = {"configurable": {"thread_id": "coding"}, "recursion_limit": 2 * TURNS + 1}
    begun = await saver.aget(thread) is not None
    asked = None if begun else {"messages": [("user", question)]}
    return (await agent.ainvoke(asked, thread))["messages"][-1].content
