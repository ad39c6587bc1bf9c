"""What a question demands, by dimension: as its task says, or as a model judges it by a rubric."""

from __future__ import annotations

import re
from collections.abc import Mapping

from weft.errors import UsageError
from weft.programs import Prompt, generate
from weft.search.strategy import Question, stable_seed

RUBRIC = (
    "comprehension: how hard it is to understand what is asked; "
    "knowledge: how rare the knowledge is that it takes; "
    "logic: how many steps of reasoning depend on each other; "
    "calculation: how much must be computed exactly; "
    "attention: how many details must be kept in mind; "
    "length: how long a complete answer is"
)
"""Dimensions and what they mean, after the scales of Zhou et al. (2025)."""
MOST = 5

_ASK = """Here is a request. Do not answer it. Say how much it demands of whoever answers it, on \
each of these scales, from 0 (nothing) to 5 (as much as only few experts can do):

{scales}

Request:
{request}

Write one line for each scale, its name and the number, such as "{first}: 2", and nothing else."""


def read_rubric(text: str) -> dict[str, str]:
    """The dimensions of a rubric with what they mean: `logic: how many steps; length: ...`.

    Raises:
        UsageError: there is none, or one is there twice.
    """
    pairs = [one.partition(":") for one in text.split(";") if one.strip()]
    found = {name.strip(): what.strip() for name, _, what in pairs}
    if not found or len(found) < len(pairs) or "" in found:
        raise UsageError(
            f"rubric={text!r} must name dimensions, each once, such as 'logic: how many steps "
            "depend on each other; length: how long an answer is'"
        )
    return found


async def demands_of(
    question: Question, rubric: Mapping[str, str], role: str
) -> Mapping[str, float]:
    """The levels of a question: its task's own if it has some, else by one call to a judge.

    What the judge does not say is left out.

    Args:
        question: is not answered.
        rubric: the dimensions, and what they mean.
        role: who judges.

    Raises:
        WeftError: the judge could not be asked.
    """
    if question.demands:
        return question.demands
    scales = "\n".join(f"- {name}: {what}" for name, what in rubric.items())
    turns = [m.content for m in question.prompt.messages if m.role != "assistant"]
    request = "\n\n".join(turns)
    said = await generate(
        Prompt.user(_ASK.format(scales=scales, request=request, first=next(iter(rubric)))),
        max_tokens=16 * len(rubric) + 64,
        temperature=0.0,
        seed=stable_seed(question.seed, "demands"),
        role=role,
    )
    return read_levels(said.text, rubric)


def read_levels(said: str, rubric: Mapping[str, str]) -> dict[str, float]:
    """The levels that a judge names; of several of one dimension the last."""
    found: dict[str, float] = {}
    for name in rubric:
        marks = re.findall(rf"\b{re.escape(name)}\b\W{{0,6}}([0-{MOST}])\b", said, re.IGNORECASE)
        if marks:
            found[name] = float(marks[-1])
    return found
