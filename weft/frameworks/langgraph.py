"""LangGraph and LangChain over a Pool."""

from __future__ import annotations

from typing import Any

from weft.extras import need

need("langgraph", "weft.frameworks.langgraph")

from langchain_openai import ChatOpenAI  # noqa: E402

from weft.frameworks.transport import ADDRESS, KEY, at_once, http_clients  # noqa: E402


def chat_model(role: str = "solver", **settings: Any) -> ChatOpenAI:
    """A pool's model for graphs of LangGraph and chains of LangChain.

        agent = create_agent(chat_model(), tools=[read])
        done = await run(ask, "What is in a.txt?", pool=pool)  # where ask awaits agent.ainvoke(...)

    Calls are async: `ainvoke`, `astream`. The blocking ones say so.

    Args:
        role: which of the pool's models answers: a role, or the name of a model.
        **settings: as `ChatOpenAI` takes them, such as `temperature`.
    """
    blocking, client = http_clients()
    given: dict[str, Any] = {"http_client": blocking, "http_async_client": client}
    given |= {"base_url": ADDRESS, "api_key": KEY, "max_retries": 0, "use_responses_api": False}
    given |= {"stream_usage": True, "timeout": None}
    made = ChatOpenAI(model=role, **(given | settings))
    at_once(made.root_async_client)
    return made
