"""Scripted people: who answers `ask_person` in a test, at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from pydantic_core import to_json

from weft.errors import UsageError
from weft.programs.durable.person import stand_ins

Say = Callable[..., Any]


@contextmanager
def people(answers: Mapping[str, Any] | Say) -> Generator[list[str]]:
    """Have a script answer what programs ask people (`ask_person`) within a block.

        with people({"Publish?": "yes"}) as asked:
            done = await run(publish, pool=pool, store=Store(), id="test")
        assert asked == ["Publish?"]

    An answer is read as one of `weft answer` is. One that is no answer of the wanted type, or is
    missing, is an error, where a person would be asked again.

    Args:
        answers: by question: a text, a value that JSON has, or a list of answers to be given in
            turn. Or a function of the question and its details that gives the answer.

    Yields:
        the questions that were asked, as they come.

    Raises:
        UsageError: in the program, when nobody answers, or the answer is none.
    """
    asked: list[str] = []
    given: dict[str, int] = {}

    def say(question: str, details: tuple[Any, ...]) -> str:
        asked.append(question)
        if callable(answers):
            return _text(answers(question, *details))
        if question not in answers:
            raise UsageError(f"nobody in people(...) answers {question!r}; add an answer")
        found = answers[question]
        if isinstance(found, Sequence) and not isinstance(found, str):
            several, at = cast("Sequence[Any]", found), given.get(question, 0)
            if at >= len(several):
                raise UsageError(
                    f"people(...) has {len(several)} answers to {question!r}, which is asked once "
                    "more; add an answer"
                )
            given[question], found = at + 1, several[at]
        return _text(found)

    stand_ins.append(say)
    try:
        yield asked
    finally:
        stand_ins.remove(say)


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else to_json(answer).decode()
