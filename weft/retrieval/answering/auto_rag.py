"""auto_rag: the model decides when and what to look up, and when it knows enough."""

from __future__ import annotations

from typing import Unpack

from weft.programs import Prompt, node
from weft.programs.calls.settings import CallSettings
from weft.retrieval.answering.lines import FINAL, QUERY, answer, final, marked
from weft.retrieval.answering.talk import (
    Findings,
    Researched,
    Talk,
    check_least,
    check_question,
    result,
)
from weft.retrieval.passage import Order, Retriever, ordered, shown
from weft.retrieval.searching import Search, searcher
from weft.types import MoreSampling

TASK = (
    "Answer a question. You may look things up as often as you need. In each turn think briefly "
    "about what you know and what is missing. Then end the turn with exactly one line, either\n"
    "Query: <what to look up next>\n"
    "or, as soon as you know enough,\n"
    "Final answer: <the answer, as short as possible>\n\n"
    "Question: {question}"
)
MEND = "End with one line that begins with `Query:` or with `Final answer:`."
FORCE = "Nothing more can be looked up. Answer now, in one line: Final answer: <the answer>"
NOTHING = "Nothing new was found. Ask for something else, or answer."
FAILED = "The search failed. Ask for something else, or answer."
RECALL = "Write a short passage, from what you know, that would answer: {query}"


@node
async def auto_rag(
    question: str,
    retriever: Retriever | Search,
    *,
    k: int = 2,
    rounds: int = 10,
    recalls: int = 5,
    step_tokens: int = 200,
    most: int = 2000,
    order: Order = "best first",
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Researched:
    """Answer a question by a loop in which the model asks for what it needs, and ends by itself.

    Each turn the model thinks, and then writes a query or its answer. A query brings passages that
    it has not read yet. When searches are used up, the model writes a passage from memory instead
    and goes on. When these are used up too, it has to answer. A turn that has neither a query nor
    an answer is asked for once more; the next time the model has to answer. A search that fails is
    told to the model, and loses nothing. If a budget ends, the answer is the last one that can be
    read.

    Auto-RAG (Yu et al. 2024, arXiv 2411.19443), by prompting: there a model was trained to plan.

    Args:
        question: what is asked.
        retriever: finds passages.
        k: new passages for each query.
        rounds: most searches.
        recalls: most passages from memory behind them; 0 for none.
        step_tokens: most tokens of a turn.
        most: characters of each passage that the model reads.
        order: in which the passages of a query stand.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models answers.
        **more: settings that few calls need.

    Raises:
        UsageError: an argument is out of range.
        EngineError: no engine could take the first turn.
    """
    check_question(question)
    check_least(1, k=k, rounds=rounds, step_tokens=step_tokens, most=most)
    check_least(0, recalls=recalls)
    settings: CallSettings = {"temperature": temperature, "seed": seed, "role": role, **more}
    talk = Talk(Prompt.user(TASK.format(question=question)), **settings)
    found = Findings(searcher(retriever))
    best, mended, asked, recalled = "", False, 0, 0
    while True:
        parts = marked(await talk.hear(step_tokens), query=QUERY, final=FINAL)
        best = final(parts) or best
        if talk.over is not None:
            return result(talk, found, best, recalled=recalled)
        # What stands behind a query, the model made up; what stands before it is no answer yet.
        query = next((part.line for part in parts if part.mark == "query" and part.line), "")
        if not query and not talk.cut and (said := final(parts)):
            return result(talk, found, said, recalled=recalled)
        if not query:
            if mended:
                break
            mended = True
            talk.tell(MEND)
        elif asked < rounds:
            asked += 1
            passages = await found.look_new(query, k)
            told = shown(ordered(passages or [], order), most)
            nothing = FAILED if passages is None else NOTHING
            talk.tell(f"Passages:\n\n{told}" if told else nothing)
        elif recalled < recalls:
            recalled += 1
            memory = Talk(Prompt.user(RECALL.format(query=query)), **settings)
            text = await memory.hear(step_tokens)
            talk.input += memory.input
            talk.tell(f"From memory, not looked up:\n\n{text}" if text.strip() else NOTHING)
        else:
            break
    talk.tell(FORCE)
    said = await talk.hear(step_tokens)
    text = final(marked(said, query=QUERY, final=FINAL)) or answer(said)
    if talk.over is not None or not text:
        text = best or text
    return result(talk, found, text, forced=True, recalled=recalled)
