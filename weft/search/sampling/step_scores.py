"""The score of a whole answer, from the scores of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from weft.parts.parameters import param
from weft.programs import fan_out
from weft.search.strategy import Question
from weft.search.verifiers import NO_TOKENS, Verifier
from weft.types import TokenLogprob

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "product": math.prod,
    "mean": fmean,
}


def aggregate_param() -> Any:
    """The parameter that says how the scores of an answer's steps become the answer's score."""
    doc = "the score of an answer, of those of its steps: last scores the whole answer alone"
    return param("last", doc, choices=tuple(AGGREGATES))


async def step_score(
    verifier: Verifier,
    question: Question,
    text: str,
    logprobs: Sequence[TokenLogprob],
    aggregate: str,
) -> float:
    """The score of an answer.

    A verifier that scores steps gives the answer up to each of them a score; these are made one
    score by their minimum, product or mean, or the last is taken (Lightman et al. 2023).

    Args:
        verifier: who scores.
        question: what the text answers.
        text: a whole answer, not blank.
        logprobs: of the answer's tokens, where the verifier asked for them.
        aggregate: a name in `AGGREGATES`.
    """

    async def score(end: int) -> tuple[int, float]:
        confidence = NO_TOKENS.plus(_without(logprobs, len(text) - end))
        return end, await verifier(question, text[:end], confidence)

    ends = [len(text)] if aggregate == "last" else step_ends(text, question.steps)
    if len(ends) == 1:
        return (await score(ends[0]))[1]
    found: dict[int, float] = {}
    async with fan_out(score, ends) as scores:
        async for end, one in scores:
            found[end] = one
    return AGGREGATES[aggregate]([found[end] for end in ends])


def step_ends(text: str, steps: str) -> list[int]:
    """Where the steps of an answer end; blank ones are no steps, and the last ends with the text.

    Args:
        text: the answer, not blank.
        steps: what ends a step.
    """
    ends: list[int] = []
    begin = 0
    while (at := text.find(steps, begin)) >= 0:
        if text[begin:at].strip():
            ends.append(at + len(steps))
        begin = at + len(steps)
    if not text[begin:].strip():
        ends = ends[:-1]
    return [*ends, len(text)]


def _without(logprobs: Sequence[TokenLogprob], characters: int) -> Sequence[TokenLogprob]:
    """The tokens without those that lie wholly in the last characters."""
    kept = len(logprobs)
    while kept and (characters := characters - len(logprobs[kept - 1].token)) >= 0:
        kept -= 1
    return logprobs[:kept]
