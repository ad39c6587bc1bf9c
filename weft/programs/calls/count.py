"""count: how many tokens a Prompt has, before any call."""

from __future__ import annotations

from typing import Unpack

from weft.backends.wire import template_settings
from weft.orchestrator.call import text_size
from weft.programs.calls.settings import check_more
from weft.programs.calls.tokens import token_path
from weft.programs.prompt import Prompt, check_prompt
from weft.programs.scope import current
from weft.types import MoreSampling, Sampling


async def count(prompt: Prompt, *, role: str = "solver", **more: Unpack[MoreSampling]) -> int:
    """The tokens of `prompt` for the model of a role, as `generate` would send them.

    Of engines that take token ids the number is exact. Of others it is an estimate, by what
    their earlier answers said of the lengths of prompts.

    Args:
        prompt: the conversation.
        role: which of the pool's models is asked.
        **more: settings that change how the prompt is written, such as `thinking`.

    Raises:
        UsageError: there is no prompt, no such role or no such setting.
        EngineError: no engine could say.
    """
    scope = current()
    check_prompt(prompt)
    check_more(more)
    pool, model = scope.pool, scope.model(role)
    if not pool.models.takes_tokens(model):
        return pool.text_lengths.tokens(model, text_size(prompt.messages))
    path = await token_path(prompt, pool, model, template_settings(Sampling(**more)))
    return len(path.tokens)
