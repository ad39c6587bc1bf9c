"""The exact token ids of a Prompt, without ever re-tokenising what an engine produced."""

from __future__ import annotations

from itertools import chain

from weft.errors import RequestRejected
from weft.orchestrator.pool import Pool
from weft.programs.prompt import Prompt


async def token_ids(prompt: Prompt, pool: Pool, model: str) -> tuple[int, ...]:
    """The ids of `prompt` for `model`; ends where the model is to go on.

    What `model` produced keeps its ids. Text is rendered by an engine under the model's chat
    template; where text follows produced tokens, the rendering of the whole is used from
    the end of the produced part on. A template that rewrites earlier turns (one that drops
    old thinking, say), or refuses to leave such a turn open, leaves no such place: then the
    rendering of the whole is taken, as a chat endpoint would. Text within an answer that
    itself can't be rendered open is tokenised alone, and follows what was there.

    Raises:
        RequestRejected: the template refuses the conversation.
    """
    # From the newest piece of text back to the oldest that must be known for it. A loop, not
    # a recursion: a search's path may have thousands of pieces.
    wanted: list[Prompt] = []
    at: Prompt | None = _text_below(prompt, model)
    while at is not None and model not in at.ids:
        wanted.append(at)
        start = _last_produced(at, model)
        at = None if start is None else _text_below(start, model)
    for piece in reversed(wanted):
        piece.ids[model] = await _rendered(piece, pool, model)
    return _exact(prompt, model)


def _is_produced(piece: Prompt, model: str) -> bool:
    return piece.tokens is not None and piece.model == model and piece.parent is not None


def _text_below(prompt: Prompt, model: str) -> Prompt:
    """The newest piece, `prompt` itself perhaps, that is not tokens of the model."""
    at = prompt
    while _is_produced(at, model):
        assert at.parent is not None
        at = at.parent
    return at


def _last_produced(prompt: Prompt, model: str) -> Prompt | None:
    """The newest piece whose tokens the model produced."""
    return next((piece for piece in prompt.lineage() if _is_produced(piece, model)), None)


def _exact(prompt: Prompt, model: str) -> tuple[int, ...]:
    """The ids of a Prompt of which the text below what was produced last is known.

    They are put together anew each time: kept at every step of a path, they would take
    memory quadratic in its length.
    """
    produced: list[tuple[int, ...]] = []
    at = prompt
    while _is_produced(at, model):
        assert at.parent is not None
        assert at.tokens is not None
        produced.append(at.tokens)
        at = at.parent
    known = at.ids[model]
    return (*known, *chain.from_iterable(reversed(produced))) if produced else known


async def _rendered(piece: Prompt, pool: Pool, model: str) -> tuple[int, ...]:
    """The ids of a Prompt that ends with text."""
    start = _last_produced(piece, model)
    whole = await _try(pool, model, piece, open=piece.open)
    if start is not None:
        written = None if whole is None else await _try(pool, model, start, open=True)
        if whole is not None and written is not None and whole[: len(written)] == written:
            return _exact(start, model) + whole[len(written) :]
        if piece.open and (added := _added(piece, start)) is not None:
            return _exact(start, model) + await pool.tokenize(model, added)
    if whole is not None:
        return whole
    if not piece.open:
        return await pool.render(model, piece.messages, open=False)  # raises what it says
    *earlier, answer = piece.messages
    before = await pool.render(model, tuple(earlier), open=False)
    return before + await pool.tokenize(model, answer.content)


async def _try(pool: Pool, model: str, prompt: Prompt, *, open: bool) -> tuple[int, ...] | None:
    """A rendering, or None if the template refuses it."""
    try:
        return await pool.render(model, prompt.messages, open=open)
    except RequestRejected:
        return None


def _added(piece: Prompt, start: Prompt) -> str | None:
    """The text that `piece` adds to the open answer of `start`; None if it is of later turns."""
    texts: list[str] = []
    at = piece
    while at is not start:
        if at.role != "assistant" or at.parent is None or not at.parent.open:
            return None
        texts.append(at.text)
        at = at.parent
    return "".join(reversed(texts))
