"""The exact token ids of a Prompt, without ever re-tokenising what an engine produced."""

from __future__ import annotations

from weft.orchestrator.pool import Pool
from weft.programs.prompt import Prompt


async def token_ids(prompt: Prompt, pool: Pool, model: str) -> tuple[int, ...]:
    """The ids of `prompt` for `model`; ends where the model is to go on.

    What `model` produced keeps its ids. Text is rendered by an engine under the model's chat
    template; where text follows produced tokens, the rendering of the whole is used from
    the end of the produced part on. A template that rewrites earlier turns (one that drops
    old thinking, say) leaves no such place: then the rendering of the whole is taken, as a
    chat endpoint would.
    """
    if (known := prompt.ids.get(model)) is not None:
        return known
    if prompt.tokens is not None and prompt.model == model and prompt.parent is not None:
        ids = await token_ids(prompt.parent, pool, model) + prompt.tokens
    else:
        ids = await pool.render(model, prompt.messages, open=prompt.open)
        if (start := _last_produced(prompt, model)) is not None:
            exact = await token_ids(start, pool, model)
            written = await pool.render(model, start.messages, open=True)
            if ids[: len(written)] == written:
                ids = exact + ids[len(written) :]
    prompt.ids[model] = ids
    return ids


def _last_produced(prompt: Prompt, model: str) -> Prompt | None:
    """The newest ancestor whose tokens `model` produced."""
    for piece in prompt.lineage():
        if piece.tokens is not None and piece.model == model:
            return piece
    return None
