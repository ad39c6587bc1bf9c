"""How many of the texts that a strategy chose among are right, whichever of them it chose."""

from __future__ import annotations

from collections.abc import Sequence

from weft.evals.tasks.guarded_task import GuardedTask
from weft.evals.tasks.task import Sample
from weft.programs.scope.hearing import Heard
from weft.search.strategy import Answer, Question, Strategy


def right_among(
    heard: Sequence[Heard],
    strategy: Strategy,
    question: Question,
    task: GuardedTask,
    sample: Sample,
) -> tuple[int, int]:
    """How many whole texts a strategy drew, and how many of them are right.

    Twice 0 unless it drew just as many as it says that it chooses among. A strategy that ended
    early because of what came did not, and its texts would tell of easy problems only. Nor do
    texts count that are not drawn alike.

    Raises:
        PartFailed: from the task's code.
    """
    if strategy.texts is None or strategy.texts < 2 or not strategy.drawn_alike:
        return 0, 0
    asked = (question.prompt, question.think)
    whole = [h.outcome for h in heard if h.whole and h.prompt in asked]
    if len(whole) != strategy.texts or len(whole) != len(heard):
        return 0, 0
    right: dict[tuple[str, str], bool] = {}
    count = 0
    for outcome in whole:
        thinking = outcome.thinking
        text = thinking.text
        value = None if thinking.inside else question.read_ended(text, outcome.finish_reason)
        if value is not None:
            if (text, value) not in right:
                right[text, value] = task.correct(sample, Answer(text, value))
            count += right[text, value]
    return len(whole), count
