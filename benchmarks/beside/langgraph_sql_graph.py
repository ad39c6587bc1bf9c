"""Text to SQL as a graph of LangGraph: the attempts are branches by `Send`, all of which run."""
# pyright: reportArgumentType=false

import operator
import sqlite3
from collections import Counter
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from world import ATTEMPTS, SQL_RULES, Query, complaint, rows_of


class State(TypedDict):
    question: str
    found: Annotated[list, operator.add]
    rows: str


async def main(model, saver, question: str):
    writer = model.with_structured_output(Query, include_raw=True)

    async def attempt(state: State):
        talk = [("system", SQL_RULES), ("user", state["question"])]
        for _ in range(2):
            said = await writer.ainvoke(talk)
            try:
                return {"found": [rows_of(said["parsed"].sql)]}
            except sqlite3.Error as error:
                talk += [said["raw"], ("user", complaint(error))]
        return {"found": []}

    async def vote(state: State):
        return {"rows": Counter(state["found"]).most_common(1)[0][0]}

    def spread(state: State):
        return [Send("attempt", {"question": state["question"]})] * ATTEMPTS

    graph = StateGraph(State)
    graph.add_node("attempt", attempt)
    graph.add_node("vote", vote)
    graph.add_conditional_edges(START, spread, ["attempt"])
    graph.add_edge("attempt", "vote")
    graph.add_edge("vote", END)
    answer = graph.compile(checkpointer=saver)
    thread = {"configurable": {"thread_id": "sql"}}
    begun = await saver.aget(thread) is not None
    return (await answer.ainvoke(None if begun else {"question": question}, thread))["rows"]
