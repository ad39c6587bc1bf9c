"""Shot: a solved question with its passages, as prompts of drag and iter_drag show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weft.retrieval.passage import Order, Passage, ordered, shown


@dataclass(frozen=True)
class Shot:
    """A solved question.

    Attributes:
        question: what was asked.
        answer: that is right.
        passages: that were found for it, the best first.
        steps: follow-up questions with their answers, for iter_drag.
    """

    question: str
    answer: str
    passages: tuple[Passage, ...] = ()
    steps: tuple[tuple[str, str], ...] = ()


def asked(
    instructions: str,
    shots: Sequence[Shot],
    passages: Sequence[Passage],
    question: str,
    *,
    order: Order,
    most: int,
    steps: bool,
) -> str:
    """The turn that asks a question.

    What many questions share stands first, so that their prompts begin with the same tokens.

    Args:
        instructions: what to do.
        shots: solved questions.
        passages: that were found, the best first.
        question: what is asked.
        order: in which passages stand.
        most: characters of each passage.
        steps: whether the shots' steps are shown.
    """
    parts = [instructions]
    for shot in shots:
        solved = _solved(shot, steps)
        parts.append(_documents(shot.passages, order, most) + f"Question: {shot.question}{solved}")
    parts.append(_documents(passages, order, most) + f"Question: {question}")
    return "\n\n".join(parts)


def _documents(passages: Sequence[Passage], order: Order, most: int) -> str:
    told = shown(ordered(passages, order), most)
    return f"Documents:\n{told}\n\n" if told else ""


def _solved(shot: Shot, steps: bool) -> str:
    lines = [
        f"\nFollow up: {question}\nIntermediate answer: {answer}" for question, answer in shot.steps
    ]
    return f"{''.join(lines) if steps else ''}\nFinal answer: {shot.answer}"
