"""A RAG loop in LangGraph's functional API: each step of the model is a task."""
# pyright: reportArgumentType=false

from langgraph.func import entrypoint, task

from world import RAG_RULES, ROUNDS, Step, find


async def main(model, saver, question: str):
    thinker = model.with_structured_output(Step, include_raw=True)

    @task
    async def think(talk: list):
        return await thinker.ainvoke(talk)

    @entrypoint(checkpointer=saver)
    async def look_up(question: str):
        talk = [("system", RAG_RULES), ("user", f"{question}\n\n{find(question)}")]
        for _ in range(ROUNDS):
            said = await think(talk)
            if said["parsed"].answer:
                return said["parsed"].answer
            talk += [said["raw"], ("user", find(said["parsed"].search or question))]
        return None

    thread = {"configurable": {"thread_id": "rag"}}
    begun = await saver.aget(thread) is not None
    return await look_up.ainvoke(None if begun else question, thread)
