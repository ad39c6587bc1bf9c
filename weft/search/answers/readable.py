"""What of all that was generated for a question can be read as an answer to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from weft.parsers.thinking import Thinking, split_thinking
from weft.programs import Prompt
from weft.programs.history.outcome import Outcome
from weft.programs.scope.hearing import Heard
from weft.search.answers.voting import tally

if TYPE_CHECKING:
    from weft.search.question import Question


class Readable(NamedTuple):
    """What can be read as an answer: its text, its value, and whether its call came to its end."""

    text: str
    value: str
    whole: bool


def readable(question: Question, heard: Sequence[Heard]) -> Readable | None:
    """The text and the answer that most of what was generated for a question agrees on.

    Complete answers come before texts that their calls ended, and these before texts that were
    broken off. None if nothing can be read.
    """
    ranks: tuple[list[tuple[str, str]], ...] = [], [], []
    for prompt, outcome, whole in heard:
        _, thinking, value = read_text(question, prompt, outcome, whole)
        if value is not None:
            rank = 2 if not whole else 0 if question.complete(thinking.text) else 1
            ranks[rank].append((thinking.text, value))
    for rank, given in enumerate(ranks):
        votes = tally({i: value for i, (_, value) in enumerate(given)}, same=question.same)
        if votes.winner is not None:
            return Readable(*given[votes.winner.members[0]], rank < 2)
    return None


class ReadText(NamedTuple):
    """A text that was generated, as far as it answers a question.

    Attributes:
        before: the part of the answer that its prompt held; None if its prompt asks otherwise.
        thinking: all of the answer, told from its thinking.
        value: what can be read as the answer.
    """

    before: str | None
    thinking: Thinking
    value: str | None


def read_text(question: Question, prompt: Prompt, outcome: Outcome, whole: bool) -> ReadText:
    """What one call's text says as an answer to a question."""
    before, thinking = answer_so_far(question, prompt), outcome.thinking
    if before:
        thinking = split_thinking(before + outcome.text, ended=outcome.ended)
    value = None
    if before is not None and not thinking.inside:
        value = question.read_ended(thinking.text, outcome.finish_reason if whole else "length")
    return ReadText(before, thinking, value)


def answer_so_far(question: Question, prompt: Prompt) -> str | None:
    """The part of the answer that a prompt holds; None if it does not ask the question."""
    pieces: list[str] = []
    for piece in prompt.lineage():
        if piece in (question.prompt, question.think):
            return "".join(reversed(pieces))
        if piece.role != "assistant":
            return None
        pieces.append(piece.text)
    return None
