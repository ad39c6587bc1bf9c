"""Looking things up before answering, in one of four ways from the literature.

`auto` lets the model search until it knows enough (Auto-RAG, 2024). `drag` puts many passages into
one prompt, and `iterdrag` appends those of follow-up questions (Yue et al. 2024). `parallel` asks
several queries at once (HybridDeepSearcher, 2025). The passages are in SQLite's full-text index.

    weft run examples/looking_up.py -a question="..." -a way=parallel -e ENGINE
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from weft import program
from weft.retrieval import (
    FullText,
    Passage,
    Researched,
    Searcher,
    auto_rag,
    drag,
    iter_drag,
    parallel_search,
)

PASSAGES = {
    "Ada": "Ada is a beekeeper. Her hives stand in the garden of the old mill.",
    "Mill": "The old mill is a house by the river Aare, north of Bern.",
    "Ben": "Ben keeps goats in Basel, and sells cheese on Saturdays.",
    "Moss": "Moss grows on the north side of trees and on damp walls.",
}
WAYS: dict[str, Callable[[str, Searcher], Awaitable[Researched]]] = {
    "auto": auto_rag,
    "drag": drag,
    "iterdrag": lambda question, passages: iter_drag(question, passages, documents=1),
    "parallel": lambda question, passages: parallel_search(question, passages, k=1),
}


@dataclass
class Found:
    """An answer, and what it rests on.

    Attributes:
        answer: the answer.
        passages: names of the passages that were read.
        searches: how often something was looked up.
    """

    answer: str
    passages: list[str]
    searches: int


@program
async def looking_up(
    question: str = "Near which town do Ada's bees live?", way: str = "iterdrag"
) -> Found:
    """An answer by the passages."""
    with FullText([Passage(name, text) for name, text in PASSAGES.items()]) as index:
        done = await WAYS[way](question, Searcher(index, name="passages"))
    return Found(done.text, [one.id for one in done.passages], done.searches)
