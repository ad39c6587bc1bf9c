"""drag: one prompt with many passages and solved questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from weft.errors import UsageError
from weft.programs import Prompt, node
from weft.retrieval.answering.lines import FINAL, answer, final, marked
from weft.retrieval.answering.shots import Shot, asked
from weft.retrieval.answering.talk import (
    Findings,
    Researched,
    Talk,
    check_least,
    check_question,
    most_that_fit,
    result,
)
from weft.retrieval.passage import Order, Passage, Retriever
from weft.retrieval.searching import Search, searcher
from weft.types import MoreSampling

TASK = "Answer the question by the documents. End with one line: Final answer: <the answer>"


@node
async def drag(
    question: str,
    retriever: Retriever | Search,
    *,
    documents: int = 10,
    shots: Sequence[Shot] = (),
    context: int | None = None,
    answer_tokens: int = 512,
    most: int = 4000,
    order: Order = "canonical",
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Researched:
    """Answer a question by one call with many passages and solved questions.

    What does not fit into `context` is left out: the passages that fit worst first, then the last
    shots. If the search fails, the model answers without passages.

    DRAG (Yue et al. 2024, arXiv 2410.04343). `fit_allocation` says how many documents and shots
    are worth their tokens. There the best passage stands next to the question: `order="best last"`.

    Args:
        question: what is asked.
        retriever: finds passages.
        documents: how many passages; 0 for none.
        shots: solved questions, with passages of their own.
        context: most tokens of the prompt; None for what the model takes.
        answer_tokens: most tokens of the answer.
        most: characters of each passage.
        order: in which passages stand.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models answers.
        **more: settings that few calls need.

    Raises:
        UsageError: an argument is out of range, or `context` has no room for the question.
        EngineError: no engine could answer.
    """
    check_question(question)
    check_least(0, documents=documents)
    check_least(1, answer_tokens=answer_tokens, most=most)
    found = Findings(searcher(retriever))
    passages = (await found.look(question, documents) or []) if documents else []
    start = Start(TASK, question, shots, passages, order, most, steps=False)
    await start.fit(context, role)
    found.show(start.passages)
    talk = Talk(start.prompt, temperature=temperature, seed=seed, role=role, **more)
    said = await talk.hear(answer_tokens)
    text = final(marked(said, final=FINAL)) or answer(said)
    return result(talk, found, text, shots=len(start.shots))


class Start:
    """The first prompt, with what has room in it.

    Args:
        task: instructions.
        question: what is asked.
        shots: solved questions.
        passages: the best first.
        order: in which passages stand.
        most: characters of each passage.
        steps: whether the shots' steps are shown.

    Attributes:
        shots: those that have room.
        passages: those that have room.
    """

    def __init__(
        self,
        task: str,
        question: str,
        shots: Sequence[Shot],
        passages: Sequence[Passage],
        order: Order,
        most: int,
        *,
        steps: bool,
    ) -> None:
        self._task, self._question, self._most = task, question, most
        self._order: Order = order
        self.shots, self.passages, self._steps = list(shots), list(passages), steps

    @property
    def prompt(self) -> Prompt:
        """The prompt."""
        return self._with(len(self.shots), len(self.passages))

    def with_task(self, task: str) -> Prompt:
        """The prompt with other instructions."""
        self._task = task
        return self.prompt

    async def fit(self, context: int | None, role: str) -> None:
        """Leave out what has no room: the worst passages, then the last shots.

        Raises:
            UsageError: there is no room for the question.
        """
        if context is None:
            return
        shots, passages = len(self.shots), len(self.passages)
        fits = await most_that_fit(lambda n: self._with(shots, n), passages, context, role)
        if fits < 0:
            fits = 0
            shots = await most_that_fit(lambda n: self._with(n, 0), shots, context, role)
            if shots < 0:
                raise UsageError(f"context={context} tokens have no room for the question itself")
        self.shots, self.passages = self.shots[:shots], self.passages[:fits]

    def _with(self, shots: int, passages: int) -> Prompt:
        return Prompt.user(
            asked(
                self._task,
                self.shots[:shots],
                self.passages[:passages],
                self._question,
                order=self._order,
                most=self._most,
                steps=self._steps,
            )
        )
