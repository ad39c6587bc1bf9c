"""Judges: a model with a rubric says how good an answer is, or which of two is the better.

    judge       each criterion of the rubric is asked about by itself; the score is the mean of
                P(yes) / (P(yes) + P(no))

Models prefer the answer that is shown first, or the one that is shown last (Zheng et al. 2023). So
`prefer` shows two answers in both orders, and takes the mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from weft.errors import UsageError
from weft.parsers.thinking import visible
from weft.parts.parameters import param
from weft.programs import Prompt, fan_out, node
from weft.programs.calls.score import pool_texts
from weft.search.strategy import Question
from weft.search.verifiers import Confidence, Verifier, verifier
from weft.search.verifiers.verdicts import ask_verdict

_MEETS = """A request and an answer to it follow. Say whether the answer meets the criterion.

Request:
{request}

Answer:
{answer}

Criterion: {criterion}

Does the answer meet the criterion? Answer yes or no alone."""

_BETTER = """A request and two answers to it follow. Say which answer is better.

Request:
{request}

Answer 1:
{first}

Answer 2:
{second}

Rubric: {rubric}

Which answer is better? Answer with 1 or 2 alone."""

RUBRIC = "The answer is correct; The answer does all that the request asks for"
"""What is asked about where no rubric is given."""


def criteria(rubric: str) -> list[str]:
    """The criteria of a rubric, which semicolons or newlines part."""
    parts = (part.strip(" \t-*") for part in re.split(r"[;\n]|\\n", rubric))
    return [part for part in parts if part]


def _rubric(text: str) -> str:
    if not criteria(text):
        raise UsageError("rubric is empty; write criteria, with semicolons between them")
    return text


def rubric_param() -> Any:
    """The parameter that holds a rubric."""
    return param(RUBRIC, "criteria, with semicolons or newlines between them", read=_rubric)


@verifier("judge")
class JudgeVerifier(Verifier):
    """A model says of each criterion of a rubric whether the answer meets it: the mean of P(yes).

    For open answers, which no exact check can judge (Zheng et al. 2023).
    """

    rubric: str = rubric_param()
    role: str = param("verifier", "who is asked")

    @property
    def asks(self) -> str:
        """`role`."""
        return self.role

    async def score(self, question: Question, text: str, confidence: Confidence) -> float:
        """Ask the model about each criterion."""
        turns = [m.content for m in question.prompt.messages if m.role != "assistant"]
        return await judged("\n\n".join(turns), text, criteria(self.rubric), self.role)


@node
async def judged(request: str, answer: str, wanted: Sequence[str], role: str) -> float:
    """How far an answer meets criteria, from 0 to 1: the mean of P(yes) over them.

    Args:
        request: what was asked for.
        answer: a text; its thinking is not shown.
        wanted: the criteria.
        role: of the model that is asked.

    Raises:
        WeftError: the model could not be asked.
    """

    async def ask(criterion: str) -> float:
        shown = (visible(answer) or "").strip()
        asked = _MEETS.format(request=request, answer=shown, criterion=criterion)
        return (await ask_verdict(Prompt.user(asked), role)).score

    async with fan_out(ask, wanted) as found:
        return math.fsum([one async for one in found]) / len(wanted)


@node
async def prefer(request: str, first: str, second: str, rubric: str, role: str) -> float:
    """How sure a model is that the first of two answers is the better one, from 0 to 1.

    Both orders are asked about. A model that always takes the answer in one place says 0.5.

    Args:
        request: what was asked for.
        first: an answer.
        second: another answer.
        rubric: what makes an answer good.
        role: of the model that is asked.

    Raises:
        WeftError: the model could not be asked.
    """

    async def ask(pair: tuple[str, str]) -> float:
        one, other = ((visible(text) or "").strip() for text in pair)
        asked = _BETTER.format(request=request, first=one, second=other, rubric=rubric)
        mass = await pool_texts(Prompt.user(asked), _PLACES, role=role)
        both = math.fsum(mass.values())
        return mass["1"] / both if both > 0 else 0.5

    there, back = await ask((first, second)), await ask((second, first))
    return (there + 1 - back) / 2


_PLACES = {place: [f"{before}{place}" for before in ("", " ", "**", "\n")] for place in ("1", "2")}
