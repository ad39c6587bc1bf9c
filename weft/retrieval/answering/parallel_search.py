"""parallel_search: several queries a turn, looked up side by side and then read together."""

from __future__ import annotations

import re
from typing import Unpack

from weft.errors import BudgetExceeded, EngineError
from weft.programs import Prompt, fan_out, generate, node
from weft.programs.calls.settings import CallSettings
from weft.retrieval.answering.lines import FINAL, answer, final, lines_of, marked, told
from weft.retrieval.answering.talk import (
    Findings,
    Researched,
    Talk,
    check_least,
    check_question,
    result,
)
from weft.retrieval.passage import Order, Passage, Retriever, ordered, shown
from weft.retrieval.searching import Search, SearchFailed, searcher
from weft.types import MoreSampling

MARKS = "<search>", "</search>"
TASK = (
    "Answer a question. You may look things up. Think, and when something is missing, write all "
    "queries that don't need each other's results at once, a line each, in one block:\n"
    "{begin}\nfirst query;\nsecond query\n{end}\n"
    "You then read what was found for each. When you know enough, end with one line:\n"
    "Final answer: <the answer, as short as possible>\n\n"
    "Question: {question}"
)
MEND = "Write queries between {begin} and {end}, a line each, or end with `Final answer:`."
FORCE = "Nothing more can be looked up. Answer now, in one line: Final answer: <the answer>"
CONDENSE = (
    "What do these passages say about: {query}\nGive only what they say, in a few sentences, with "
    "names and numbers. If they say nothing of it, write: nothing.\n\n{passages}"
)
NOTHING = "nothing was found"
FAILED = "the search failed"


@node
async def parallel_search(
    question: str,
    retriever: Retriever | Search,
    *,
    k: int = 10,
    turns: int = 10,
    width: int = 16,
    condense: bool = True,
    helper: str | None = None,
    turn_tokens: int = 2048,
    condensed_tokens: int = 256,
    most: int = 4000,
    order: Order = "canonical",
    marks: tuple[str, str] = MARKS,
    temperature: float = 0.7,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Researched:
    """Answer a question by turns, in each of which several queries are looked up at once.

    The model writes a block of queries that don't need each other. All are looked up side by side,
    a helper condenses what each found, and the model reads the results in the order of its
    queries. So a question that needs many facts takes as many turns as the facts depend on each
    other. A query that was asked before has its result from before. A search that fails is told as
    such; where the helper fails, the passages themselves are shown. When the turns are used up,
    the model has to answer. If a budget ends, the answer is the last one that can be read.

    HybridDeepSearcher (2025, arXiv 2508.19113), by prompting: there a model was trained for it.

    Args:
        question: what is asked.
        retriever: finds passages.
        k: passages for each query.
        turns: most turns with searches.
        width: most queries of a turn; more are told as not looked up.
        condense: whether the helper condenses what was found; else the model reads all passages.
        helper: the role that condenses; `role` by default.
        turn_tokens: most tokens of a turn.
        condensed_tokens: most tokens of what is condensed of a query.
        most: characters of each passage.
        order: in which the passages of a query stand.
        marks: what opens and closes a block of queries.
        temperature: of turns; what is condensed is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models answers.
        **more: settings that few calls need.

    Raises:
        UsageError: an argument is out of range.
        EngineError: no engine could take the first turn.
    """
    check_question(question)
    check_least(1, k=k, turns=turns, width=width, turn_tokens=turn_tokens, most=most)
    check_least(1, condensed_tokens=condensed_tokens)
    begin, end = marks
    opened = re.compile(f"{re.escape(begin)}(.*?)(?:{re.escape(end)}|$)", re.I | re.S)
    settings: CallSettings = {"temperature": temperature, "seed": seed, "role": role, **more}
    task = TASK.format(question=question, begin=begin, end=end)
    talk, found = Talk(Prompt.user(task), **settings), Findings(searcher(retriever))
    helping = _Helper(found, k, most, order, condense, condensed_tokens, helper or role, more)
    best, mended, searched, repeated = "", False, 0, 0
    while True:
        said = await talk.hear(turn_tokens, stop=end)
        ends = final(marked(said, final=FINAL))
        best = ends or best
        blocks = opened.findall(said)
        if talk.over is not None:
            return result(talk, found, best or ("" if blocks else said.strip()), turns=searched)
        queries = list(dict.fromkeys(lines_of("\n".join(blocks))))
        if not blocks and not talk.cut and said.strip():
            text = ends or answer(said)
            return result(talk, found, text, turns=searched, repeated=repeated)
        if not queries:
            if mended:
                break
            mended = True
            talk.tell(MEND.format(begin=begin, end=end))
        elif searched < turns:
            searched += 1
            repeated += sum(told(query) in helping.known for query in queries[:width])
            talk.tell(await helping.results(queries[:width], queries[width:]))
            talk.input, helping.input = talk.input + helping.input, 0
        else:
            break
    talk.tell(FORCE)
    said = await talk.hear(turn_tokens)
    text = final(marked(said, final=FINAL)) or answer(opened.sub("", said))
    if talk.over is not None or not text:
        text = best or text
    return result(talk, found, text, forced=True, turns=searched, repeated=repeated)


class _Helper:
    """Looks up queries side by side, and condenses what they found.

    Attributes:
        known: results of queries, by what they say.
        input: tokens of its prompts.
    """

    def __init__(
        self,
        found: Findings,
        k: int,
        most: int,
        order: Order,
        condense: bool,
        tokens: int,
        role: str,
        more: MoreSampling,
    ) -> None:
        self._found, self._k, self._most = found, k, most
        self._order: Order = order
        self._condense, self._tokens, self._role, self._more = condense, tokens, role, more
        self.known: dict[str, str] = {}
        self.input = 0

    async def results(self, queries: list[str], left_out: list[str]) -> str:
        """What queries found, as the model reads it."""
        fresh: dict[str, str] = {}
        for query in queries:
            if told(query) not in self.known:
                fresh.setdefault(told(query), query)

        shown_of: dict[str, list[Passage]] = {}

        @node
        async def look_up(query: str) -> None:
            self.known[told(query)], shown_of[query] = await self._one(query)

        if fresh:
            async with fan_out(look_up, fresh.values()) as ended:
                async for _ in ended:
                    pass
        for query in fresh.values():  # in their order, whichever came first
            self._found.show(shown_of[query])
        texts = [f"Results for: {query}\n{self.known[told(query)]}" for query in queries]
        texts += [f"Results for: {query}\nnot looked up: too many queries" for query in left_out]
        return "\n\n".join(texts)

    async def _one(self, query: str) -> tuple[str, list[Passage]]:
        self._found.searches += 1
        try:
            passages = await self._found.searcher.search(query, self._k)
        except (*SearchFailed, BudgetExceeded):
            self._found.failed += 1
            return FAILED, []
        if not passages:
            return NOTHING, []
        text = await self._condensed(query, passages) if self._condense else self._all(passages)
        return text, passages

    def _all(self, passages: list[Passage]) -> str:
        return shown(ordered(passages, self._order), self._most)

    async def _condensed(self, query: str, passages: list[Passage]) -> str:
        asked = Prompt.user(CONDENSE.format(query=query, passages=self._all(passages)))
        try:
            said = await generate(
                asked, max_tokens=self._tokens, temperature=0.0, role=self._role, **self._more
            )
        except (BudgetExceeded, EngineError):
            return self._all(passages)
        self.input += said.usage.prompt
        return said.text.strip() or self._all(passages)
