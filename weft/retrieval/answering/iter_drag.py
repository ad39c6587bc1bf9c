"""iter_drag: a question taken apart while documents are added, within one budget of context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from weft.programs import Prompt, node
from weft.programs.calls.count import count
from weft.retrieval.answering.drag import TASK as AT_ONCE
from weft.retrieval.answering.drag import Start
from weft.retrieval.answering.lines import FINAL, answer, final, marked
from weft.retrieval.answering.shots import Shot
from weft.retrieval.answering.talk import (
    Findings,
    Researched,
    Talk,
    check_least,
    check_question,
    most_that_fit,
    result,
)
from weft.retrieval.passage import Order, Passage, Retriever, ordered, shown
from weft.retrieval.searching import Search, searcher
from weft.types import MoreSampling

FOLLOW, BETWEEN = r"follow[- ]?up(?: question)?", "intermediate answer"
TASK = (
    "Answer the question by the documents, in steps. If a fact is missing, write a question for it "
    "alone, in one line, and stop:\n"
    "Follow up: <a question>\n"
    "You then read more documents. Answer the follow-up first:\n"
    "Intermediate answer: <its answer>\n"
    "When you know enough, end with one line:\n"
    "Final answer: <the answer>"
)
MEND = "Write one line that begins with `Follow up:` or with `Final answer:`."
FORCE = "Nothing more can be looked up. Answer now, in one line: Final answer: <the answer>"
NOTHING = "No further documents were found."
FAILED = "The search failed."


@node
async def iter_drag(
    question: str,
    retriever: Retriever | Search,
    *,
    documents: int = 5,
    shots: Sequence[Shot] = (),
    iterations: int = 5,
    context: int | None = None,
    step_tokens: int = 256,
    most: int = 4000,
    order: Order = "canonical",
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Researched:
    """Answer a question in several iterations, each with the documents of a follow-up question.

    The first prompt has the documents of the question. In each iteration the model asks a
    follow-up, whose documents are appended, or gives its answer. So each prompt begins with all of
    the one before. The last iteration has to answer. A step without either is asked for once
    more; the next time the model has to answer.

    `context` holds for the input tokens of all iterations together. Documents that have no room
    are left out, and the model has to answer while another prompt still fits.

    IterDRAG (Yue et al. 2024, arXiv 2410.04343), without constrained decoding: steps are told by
    their marks.

    Args:
        question: what is asked.
        retriever: finds passages.
        documents: passages of the question, and new ones of each follow-up; 0 for none.
        shots: solved questions, with passages and steps of their own.
        iterations: most calls.
        context: most input tokens of all calls; None for no limit.
        step_tokens: most tokens of a step.
        most: characters of each passage.
        order: in which passages stand that come together.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models answers.
        **more: settings that few calls need.

    Raises:
        UsageError: an argument is out of range, or `context` has no room for the question.
        EngineError: no engine could take the first step.
    """
    check_question(question)
    check_least(0, documents=documents)
    check_least(1, iterations=iterations, step_tokens=step_tokens, most=most)
    found = Findings(searcher(retriever))
    passages = (await found.look(question, documents) or []) if documents else []
    start = Start(TASK, question, shots, passages, order, most, steps=True)
    await start.fit(context, role)
    found.show(start.passages)
    talk = Talk(start.prompt, temperature=temperature, seed=seed, role=role, **more)
    room = _Room(talk, context, step_tokens, role)
    best, followed, mended = "", "", False
    intermediate: list[tuple[str, str]] = []
    forced = iterations == 1 or not await room.for_another(talk.prompt)
    if forced:
        talk.prompt = start.with_task(AT_ONCE)
    for left in range(iterations - 1, -1, -1):
        said = await talk.hear(step_tokens)
        parts = marked(said, between=BETWEEN, follow=FOLLOW, final=FINAL)
        ends = final(parts)
        best = ends or best
        between = next((part.line for part in parts if part.mark == "between"), "")
        if followed and between:
            intermediate.append((followed, between))
        followed = next((part.line for part in parts if part.mark == "follow" and part.line), "")
        if forced or talk.over is not None:
            text = ends or best or ("" if followed else answer(said))
            return result(talk, found, text, forced=forced, intermediate=intermediate)
        if ends and not followed and not talk.cut:
            return result(talk, found, ends, intermediate=intermediate)
        forced = left == 1 or (mended and not followed)
        if followed:
            new = (await found.look(followed, documents)) if documents else []
            if not await room.turn(found, new, order, most, forced):
                break
        else:
            mended = True
            if not await room.plain(MEND, forced):
                break
        forced = room.forced
    return result(talk, found, best, forced=True, intermediate=intermediate)


class _Room:
    """Adds turns as far as the budget of context has room for them.

    Attributes:
        forced: whether the turn that was added last asks for the answer.
    """

    def __init__(self, talk: Talk, context: int | None, step_tokens: int, role: str) -> None:
        self._talk, self._context, self._step, self._role = talk, context, step_tokens, role
        self.forced = False

    async def turn(
        self,
        found: Findings,
        new: list[Passage] | None,
        order: Order,
        most: int,
        forced: bool,
    ) -> bool:
        """Add documents, as many as have room; False if there is none for any prompt.

        Args:
            found: is told which are shown.
            new: the best first; None if the search failed.
            order: in which they stand.
            most: characters of each.
            forced: whether the model has to answer now.
        """

        def text(count: int) -> str:
            told = shown(ordered((new or [])[:count], order), most)
            return f"Documents:\n{told}" if told else FAILED if new is None else NOTHING

        def prompt(count: int) -> Prompt:
            return self._talk.prompt.user(f"{text(count)}\n\n{FORCE}")

        fits = await most_that_fit(prompt, len(new or []), self._left, self._role)
        if fits < 0:
            return await self.plain("", True)
        found.show((new or [])[:fits])
        return await self.plain(text(fits), forced)

    async def plain(self, text: str, forced: bool) -> bool:
        """Add a turn; False if there is no room for any prompt."""
        before = self._talk.prompt
        self.forced = forced or not await self.for_another(before.user(text))
        if self.forced:
            text = f"{text}\n\n{FORCE}".strip() if text != MEND else FORCE
        self._talk.prompt = before.user(text)
        left = self._left
        return left is None or await count(self._talk.prompt, role=self._role) <= left

    async def for_another(self, prompt: Prompt) -> bool:
        """Whether behind a call of this prompt there is room for one that asks for the answer."""
        if (left := self._left) is None:
            return True
        now = await count(prompt, role=self._role)
        ask = await count(Prompt.user(FORCE), role=self._role)
        return 2 * now + self._step + ask <= left

    @property
    def _left(self) -> int | None:
        return None if self._context is None else self._context - self._talk.input
