"""count: how many tokens a Prompt or a text has, before any call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from weft.backends.http.wire import template_settings
from weft.orchestrator.call import text_size
from weft.orchestrator.estimates.text_lengths import TextSize
from weft.orchestrator.pool import Pool
from weft.programs.calls.settings import check_more
from weft.programs.calls.tokens import token_path
from weft.programs.prompt import Prompt, check_prompt
from weft.programs.scope import current
from weft.types import MoreSampling, Sampling

if TYPE_CHECKING:
    from weft.programs.tools.marking import Tool


async def count(
    prompt: Prompt | str,
    *,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    tool_choice: str | Tool | Callable[..., Any] | None = None,
    returns: object = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> int:
    """The tokens of `prompt` for the model of a role, as `generate` would send them.

    Of engines that take token ids the number is exact. Of others it is an estimate, by what
    their earlier answers said of the lengths of prompts, images and files included.

    Args:
        prompt: the conversation; or a text, of which the tokens are counted without those of a
            turn around it. Where a text joins another, a token may fall away.
        tools: functions that the model may call, as `generate` is given them: their schemas are
            part of what is sent.
        tool_choice: as `generate` is given it.
        returns: as `generate` is given it; beside tools it may change how they are told.
        role: which of the pool's models is asked.
        **more: settings that change how the prompt is written, such as `thinking`.

    Raises:
        UsageError: there is no prompt, no such role or no such setting; or there are images and
            the engine takes token ids, so that `generate` would refuse them as well.
        EngineError: no engine could say.
    """
    scope = current()
    check_more(more)
    pool, model = scope.pool, scope.model(role)
    if isinstance(prompt, str):
        return await _text(prompt, pool, model)
    check_prompt(prompt)
    schema: dict[str, Any] | None = None
    if returns is not None:
        from weft.programs.calls.typed_form import typed_form

        schema = typed_form(returns).schema
    sampling = Sampling(schema=schema, **more)
    if tools or tool_choice is not None:
        from weft.programs.calls.tool_use import ToolUse  # only programs with tools need it

        use = ToolUse.of(tools, tool_choice)
        prompt, sampling = await use.sent(scope, role, prompt, use.into(sampling))
    if not pool.models.takes_tokens(model):
        return pool.text_lengths.tokens(model, text_size(prompt.messages, sampling.tools))
    return len((await token_path(prompt, pool, model, template_settings(sampling))).tokens)


async def _text(text: str, pool: Pool, model: str) -> int:
    if not text:
        return 0
    if pool.models.takes_tokens(model):
        return len(await pool.tokenize(model, text))
    size = len(text.encode("utf-8", "surrogatepass"))
    return pool.text_lengths.tokens(model, TextSize(0, size))
