"""Whether what comes next of an answer is thinking."""

from __future__ import annotations

from weft.orchestrator.pool import Pool
from weft.parsers.thinking import split_thinking
from weft.programs.prompt import Prompt
from weft.types import Sampling


def begins_inside(prompt: Prompt, sampling: Sampling, pool: Pool, model: str) -> bool:
    """Whether what is generated next begins within the model's thinking."""
    if not prompt.open:
        return sampling.thinking is not False and pool.models.opens_thinking(model)
    written: list[str] = []
    at: Prompt | None = prompt
    while at is not None and at.open and at.call is None:
        written.append(at.text)
        at = at.parent
    if at is not None and at.open:
        inside = at.in_thinking
    else:  # behind the template's own beginning of an answer, if nothing is written yet
        begun = sampling.thinking is not False and pool.models.opens_thinking(model)
        inside = begun and not "".join(written)
    return split_thinking("".join(reversed(written)), inside).inside
