"""Runs one of the programs, in a process of its own: whoever starts it may kill it."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import world

HAS_SAVER = find_spec("aiosqlite") is not None
"""Whether LangGraph has its checkpointer on disk (langgraph-checkpoint-sqlite)."""
HAS_DBOS = find_spec("dbos") is not None
"""Whether pydantic-ai has a library for durable runs."""
QUESTIONS = {
    "sql": world.SQL_QUESTION,
    "coding": world.CODING_QUESTION,
    "rag": world.RAG_QUESTION,
}


def go(file: str, about: str, url: str, folder: str, pooled: bool) -> None:
    """Run the program of a file; what it gives is written into the folder.

    Args:
        file: a module of this folder.
        about: which question it is asked.
        url: the endpoint, without `/v1`.
        folder: where it works, and keeps what it has done.
        pooled: over a Pool of weft in this process, in place of the endpoint itself.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    world.FOLDER = Path(folder)
    module = import_module(file)
    question, url = QUESTIONS[about], f"{url}/v1"
    if file.startswith("weft"):
        made = _weft(module, url, question)
    elif file.startswith("langgraph"):
        made = _langgraph(module, url, question, pooled)
    elif "dbos" in file:
        made = _dbos(module, url, question)
    else:
        made = _pydantic_ai(module, url, question, pooled)
    (world.FOLDER / "value.json").write_text(json.dumps(asyncio.run(made)))


async def _weft(module: ModuleType, url: str, question: str) -> Any:
    from weft import Pool
    from weft.backends.openai import OpenAIEngine

    async with Pool(OpenAIEngine("scripted", url)) as pool:
        return await module.main(pool, world.FOLDER, question)


async def _over_a_pool(url: str, program: Any, *given: Any) -> Any:
    from weft import Pool, run
    from weft.backends.openai import OpenAIEngine

    async with Pool(OpenAIEngine("scripted", url)) as pool:
        return (await run(program, *given, pool=pool)).value


async def _langgraph(module: ModuleType, url: str, question: str, pooled: bool) -> Any:
    if HAS_SAVER and not pooled:
        from langgraph.checkpoint.sqlite.aio import (  # pyright: ignore[reportMissingImports]
            AsyncSqliteSaver,
        )

        async with AsyncSqliteSaver.from_conn_string(str(world.FOLDER / "runs.db")) as saver:
            return await module.main(_chat_openai(url), saver, question)
    from langgraph.checkpoint.memory import InMemorySaver

    if not pooled:
        return await module.main(_chat_openai(url), InMemorySaver(), question)
    from weft.frameworks.langgraph import chat_model

    return await _over_a_pool(url, module.main, chat_model(), InMemorySaver(), question)


def _chat_openai(url: str) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="scripted", base_url=url, api_key="none")  # pyright: ignore


async def _pydantic_ai(module: ModuleType, url: str, question: str, pooled: bool) -> Any:
    if not pooled:
        return await module.main(_chat_model(url), question)
    from weft.frameworks.pydantic_ai import PydanticAIModel

    return await _over_a_pool(url, module.main, PydanticAIModel(), question)


def _chat_model(url: str) -> Any:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=url, api_key="none")
    return OpenAIChatModel("scripted", provider=provider)


async def _dbos(module: ModuleType, url: str, question: str) -> Any:
    from dbos import DBOS  # pyright: ignore[reportMissingImports]

    database = f"sqlite:///{world.FOLDER}/dbos.sqlite"
    DBOS(config={"name": "beside", "system_database_url": database})
    main = module.declare(_chat_model(url))
    DBOS.launch()
    try:
        return await main(question)
    finally:
        DBOS.destroy()
