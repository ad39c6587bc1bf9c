"""A RAG loop: the model decides when to search, and when it knows enough.

The documents are in SQLite's full-text index. Each query's documents are appended in one order,
so that the next prompt shares its beginning with the last one. After Auto-RAG (2024).

    weft run examples/rag_loop.py -a question="Where do Ada's bees live?" -e ENGINE
"""

import re
import sqlite3
from typing import Literal

from pydantic import BaseModel

from weft import Prompt, generate, node, program

DOCUMENTS = {
    "Ada": "Ada is a beekeeper. Her hives stand in the garden of the old mill.",
    "Mill": "The old mill is a house by the river Aare, north of Bern.",
    "Ben": "Ben keeps goats in Basel, and sells cheese on Saturdays.",
    "Moss": "Moss grows on the north side of trees and on damp walls.",
}
RULES = """Answer the question from documents alone. Search for what you still need, by words that \
a document may hold. Answer when the documents say it, or when nothing new comes."""


class Search(BaseModel):
    """More documents are needed."""

    search: str


class Final(BaseModel):
    """The documents say it."""

    answer: str
    documents: list[str]


class Nothing(BaseModel):
    """The documents don't say it."""

    unknown: Literal[True]


class Index:
    """The documents by their words."""

    def __init__(self, documents: dict[str, str]) -> None:
        self._database = sqlite3.connect(":memory:")
        self._database.execute("create virtual table docs using fts5(name, text, tokenize=porter)")
        self._database.executemany("insert into docs values (?, ?)", documents.items())

    def find(self, query: str, most: int = 2) -> dict[str, str]:
        """The documents that fit best."""
        words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
        asked = "select name, text from docs where docs match ? order by rank limit ?"
        return dict(self._database.execute(asked, (words, most))) if words else {}


@program
async def rag(question: str = "Near which town do Ada's bees live?", most: int = 5) -> str:
    """The answer, with the names of its documents."""
    index, seen = Index(DOCUMENTS), dict[str, str]()

    @node
    async def retrieve(query: str) -> str:
        new = {name: text for name, text in index.find(query).items() if name not in seen}
        seen.update(new)
        return "\n".join(f"[{name}] {text}" for name, text in new.items()) or "Nothing new."

    prompt = Prompt.system(RULES).user(f"{question}\n\n{await retrieve(question)}")
    for _ in range(most):
        said = await generate(prompt, returns=Search | Final | Nothing, retries=1, max_tokens=300)
        match said.value:
            case Search(search=query):
                prompt = said.prompt.user(await retrieve(query))
            case Final(answer=answer, documents=names):
                return f"{answer} [{', '.join(name for name in names if name in seen)}]"
            case Nothing():
                break
    return "The documents don't say."
