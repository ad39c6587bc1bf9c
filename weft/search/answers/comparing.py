"""Answers whose comparing takes long are compared in a thread, before a strategy sees them.

Programs are compared by running them, say. The event loop, with all other calls in it, does not
wait. What compares remembers, so the strategy's own comparing takes no time.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from operator import eq
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from weft.errors import PartFailed
from weft.programs.scope.hearing import settling
from weft.search.answers.readable import read_text

if TYPE_CHECKING:
    from weft.programs import Prompt
    from weft.programs.history.outcome import Outcome
    from weft.search.question import Question


def compares_ahead(question: Question) -> bool:
    """Whether the answers to a question are compared in a thread."""
    return question.slow and question.same is not eq


def comparing_ahead(question: Question) -> AbstractContextManager[None]:
    """Within it, each call's answer is compared with the others before its program goes on.

    Calls go on in the order in which they ended. A text that answers another prompt, such as a
    revision, is read as an answer too.
    """
    if not compares_ahead(question):
        return nullcontext()
    known: list[str] = []
    turn = anyio.Lock()

    def compare(value: str, others: list[str]) -> None:
        with suppress(PartFailed):  # the strategy is told of that when it compares
            for other in others:
                question.same(other, value)

    async def settle(prompt: Prompt, outcome: Outcome) -> None:
        async with turn:
            try:
                value = _value(question, prompt, outcome)
            except PartFailed:
                return
            if value is not None and value not in known:
                others = list(known)
                known.append(value)
                await anyio.to_thread.run_sync(compare, value, others)

    return settling(settle)


def _value(question: Question, prompt: Prompt, outcome: Outcome) -> str | None:
    before, thinking, value = read_text(question, prompt, outcome, True)
    if before is None and not thinking.inside:
        return question.read_ended(thinking.text, outcome.finish_reason)
    return value
