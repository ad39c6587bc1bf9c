"""Examples for a calibration, among the details of answers, until they are judged and collected."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from weft.search.calibration.kept import Calibration, Example


class Scored(NamedTuple):
    """What a method scored, to be an example of a calibration.

    Attributes:
        score: what the method made of it.
        value: the answer that was scored; None if it was no answer.
        text: what the answer was read from.
        levels: what the question demands, by dimension, where the method goes by that.
    """

    score: float
    value: str | None = None
    text: str | None = None
    levels: Mapping[str, float] = {}


class AnswerGiven(NamedTuple):
    """What an evaluation knows of an answer.

    Attributes:
        problem: what it is not independent of.
        question: what it answers; answers to the same question are compared.
        strategy: that gave it, as a spec.
        right: whether it is right.
        tokens: that engines had to compute for it.
        details: of the answer, judged.
    """

    problem: str
    question: Hashable
    strategy: str
    right: bool
    tokens: float
    details: Mapping[str, Any]


def with_examples(method: str, scored: Iterable[Scored], *, beside: bool = False) -> dict[str, Any]:
    """Details of an answer, by which an evaluation makes a calibration.

    Args:
        method: the spec of the strategy, without what it decides by scores.
        scored: what the strategy scored, in order.
        beside: whether it wants to know how other strategies answered the same questions.
    """
    # Levels stand there only for methods that go by them.
    examples = [list(one if one.levels else one[:3]) for one in scored]
    details = {"calibrates": method, "examples": examples}
    return details | ({"beside": True} if beside else {})


def judged(details: Mapping[str, Any], right: Callable[[str, str | None], bool]) -> dict[str, Any]:
    """The same details, where each example says whether its answer is right.

    Args:
        details: of an answer.
        right: whether an answer is, by its value and its text.
    """
    if "examples" not in details:
        return dict(details)
    found: list[list[Any]] = []
    for score, value, text, *levels in details["examples"]:
        found.append([score, None if value is None else right(value, text), *levels])
    return {**details, "examples": found}


def calibrations(answers: Sequence[AnswerGiven], model: str, task: str) -> list[Calibration]:
    """The calibrations that an evaluation's answers make, in the order in which methods come.

    Args:
        answers: of all its strategies.
        model: whose answers they are.
        task: what they answer.
    """
    others: dict[Hashable, dict[str, tuple[bool, float]]] = {}
    for one in answers:
        if "calibrates" not in one.details:
            others.setdefault(one.question, {})[one.strategy] = one.right, one.tokens
    by: dict[str, list[Example]] = {}
    for one in answers:
        beside: dict[str, tuple[bool, float]] = {}
        if "beside" in one.details:
            beside = {"": (one.right, one.tokens), **others.get(one.question, {})}
        if "examples" in one.details:
            by.setdefault(one.details["calibrates"], []).extend(
                Example(one.problem, score, right, beside, *levels)
                for score, right, *levels in one.details["examples"]
            )
    return [Calibration(model, task, method, tuple(each)) for method, each in by.items() if each]
