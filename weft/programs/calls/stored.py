"""Stored results of calls: by which key, and whether they are what a call would give now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from weft.orchestrator.call import text_size
from weft.orchestrator.pool import Pool
from weft.programs.budgets.reservation import Reservation
from weft.programs.calls.settings import settings_text
from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt
from weft.types import Sampling

if TYPE_CHECKING:
    from weft.programs.budgets.budget import budget


def call_key(
    model: str, prompt: Prompt, sampling: Sampling, ask: tuple[str, ...], index: int
) -> str:
    """What determines a call's result: model, prompt, settings and sample index."""
    settings = f"[{settings_text(sampling)}, {json.dumps(ask) if ask else '[]'}, {index}]"
    return blake2b(prompt.key + f"\0{model}\0{settings}".encode(), digest_size=20).hexdigest()


def held_to_fewer(known: Outcome, held: Reservation | None) -> int | None:
    """The tokens that a finished answer is held to now, if it would not have finished with them.

    Args:
        known: the answer.
        held: what budgets hold for the call now; None if there are none.
    """
    if held is None or held.most_tokens is None:
        return None
    most, before = held.most_tokens, known.most_tokens
    fewer = before is None or most < before
    return most if fewer and known.usage.completion > most else None


def cut_as_before(known: Outcome, held: Reservation | None, budgets: Iterable[budget]) -> bool:
    """Whether a budget would cut a call off no later than one did the first time.

    Args:
        known: what the call gave then, which is not a finished answer.
        held: what budgets hold for the call now; None if there are none.
        budgets: that it is under.
    """
    if known.ended_by == "seconds":
        limits = [b.limits.seconds for b in budgets]
        return any(limit is not None and limit <= known.limit for limit in limits)
    held_to = held.most_tokens if held is not None else None
    return (
        known.ended_by != ""
        and known.most_tokens is not None
        and held_to is not None
        and held_to <= known.most_tokens
    )


def learn_length(
    pool: Pool, model: str, prompt: Prompt, tools: Sequence[Mapping[str, Any]], known: Outcome
) -> None:
    """Learn from a stored result how long a text is in tokens, as from the result at first."""
    used = known.usage
    if used.calls == 1 and "usage" not in known.missing and not pool.models.takes_tokens(model):
        pool.text_lengths.learn(model, text_size(prompt.messages, tools), used.prompt)
