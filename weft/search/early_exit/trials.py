"""Trials: while a model thinks, it is asked again and again for the answer that it has so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from weft.programs import Completion
from weft.search.answers.failures import NO_RESULT
from weft.search.early_exit.pieces import Pieces, closed, up_to
from weft.search.sampling.drawing import Candidate
from weft.search.strategy import Question


@dataclass(frozen=True)
class TrialAnswer:
    """An answer that was asked for, as if thinking were over.

    Attributes:
        given: the answer, whose value can be read.
        asked: the call that gave it.
        thought: the last piece of thinking before.
        row: how many trials in a row gave the same answer, this one included.
    """

    given: Candidate
    asked: Completion
    thought: Completion
    row: int


async def think_with_trials(
    question: Question,
    pieces: Pieces,
    every: int,
    final: str,
    enough: Callable[[TrialAnswer], bool],
) -> Candidate:
    """Think, and try an answer after every so many tokens, until a trial is enough.

    Trials are greedy, and go on from the last whole line. They are no part of the thinking. One
    whose answer can't be read agrees with none. If a budget ends, or calls fail, the last trial's
    answer is given.

    Args:
        question: what to answer.
        pieces: what writes.
        every: tokens between two trials.
        final: what begins an answer that is asked for.
        enough: whether a trial's answer is the answer.
    """
    last: Candidate | None = None
    row = 0

    async def look(piece: Completion) -> Completion | None:
        nonlocal last, row
        end = piece.prompt.text.rfind(question.steps)
        whole = piece.prompt if end < 0 else up_to(piece, end + len(question.steps))
        asked = await pieces.write(closed(whole, final), question.max_tokens, greedy=True)
        given = pieces.candidate(asked)
        if given.value is None:
            row = 0
            return None
        again = last is not None and question.same(last.value or "", given.value)
        row, last = (row if again else 0) + 1, given
        return asked if enough(TrialAnswer(given, asked, piece, row)) else None

    try:
        ended = pieces.candidate(await pieces.think(every, look, final))
    except NO_RESULT as error:
        if last is None:
            raise
        return replace(last, error=error)
    return last if ended.value is None and last is not None else ended
