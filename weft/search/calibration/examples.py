"""Examples for a calibration, among the details of answers, until they are judged and collected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from weft.search.calibration.kept import Calibration, Example


class Scored(NamedTuple):
    """What a method scored, to be an example of a calibration.

    Attributes:
        score: what the method made of it.
        value: the answer that was scored; None if it was no answer.
        text: what the answer was read from.
    """

    score: float
    value: str | None = None
    text: str | None = None


def with_examples(method: str, scored: Iterable[Scored]) -> dict[str, Any]:
    """Details of an answer, by which an evaluation makes a calibration.

    Args:
        method: the spec of the strategy, without what it decides by scores.
        scored: what the strategy scored, in order.
    """
    return {"calibrates": method, "examples": [list(one) for one in scored]}


def judged(details: Mapping[str, Any], right: Callable[[str, str | None], bool]) -> dict[str, Any]:
    """The same details, where each example says whether its answer is right.

    Args:
        details: of an answer.
        right: whether an answer is, by its value and its text.
    """
    if "examples" not in details:
        return dict(details)
    found: list[list[Any]] = []
    for score, value, text in details["examples"]:
        found.append([score, None if value is None else right(value, text)])
    return {**details, "examples": found}


def calibrations(
    rows: Iterable[tuple[str, Mapping[str, Any]]], model: str, task: str
) -> list[Calibration]:
    """The calibrations that details of answers make, in the order in which methods first come.

    Args:
        rows: of each answer, what it is not independent of, and its details, judged.
        model: whose answers they are.
        task: what they answer.
    """
    by: dict[str, list[Example]] = {}
    for problem, details in rows:
        if "examples" in details:
            given = [Example(problem, score, right) for score, right in details["examples"]]
            by.setdefault(details["calibrates"], []).extend(given)
    return [Calibration(model, task, method, tuple(each)) for method, each in by.items() if each]
