"""Retrieval: passages for a query, and programs that look things up before they answer.

`Retriever` is the protocol, `FullText` the embedded default. A `Searcher` makes any retriever a
part of a run: in its graph, kept, timed, tried again. The programs are in `answering`. Called by
users' programs. To add a retriever, write an async `search(query, k)`. Trades away: what an index
costs to build outside a run, and embeddings by a function of one's own, count for no budget.
"""

from weft.retrieval.answering.allocation import (
    AllocationModel,
    RagRun,
    RagSize,
    effective_context,
    fit_allocation,
)
from weft.retrieval.answering.auto_rag import auto_rag
from weft.retrieval.answering.compression import Compressed, answers_stay, compress
from weft.retrieval.answering.drag import drag
from weft.retrieval.answering.iter_drag import iter_drag
from weft.retrieval.answering.parallel_search import parallel_search
from weft.retrieval.answering.shots import Shot
from weft.retrieval.answering.talk import Researched
from weft.retrieval.embedding import EmbeddingEndpoint
from weft.retrieval.files import cut, read_passages
from weft.retrieval.full_text import FullText
from weft.retrieval.hybrid import Hybrid
from weft.retrieval.passage import Passage, Retriever
from weft.retrieval.searching import Searcher
from weft.retrieval.vectors import Vectors

__all__ = [
    "AllocationModel",
    "Compressed",
    "EmbeddingEndpoint",
    "FullText",
    "Hybrid",
    "Passage",
    "RagRun",
    "RagSize",
    "Researched",
    "Retriever",
    "Searcher",
    "Shot",
    "Vectors",
    "answers_stay",
    "auto_rag",
    "compress",
    "cut",
    "drag",
    "effective_context",
    "fit_allocation",
    "iter_drag",
    "parallel_search",
    "read_passages",
]
