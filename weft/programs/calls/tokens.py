"""The exact token ids of a Prompt, without ever re-tokenising what an engine produced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from weft.errors import RequestRejected
from weft.orchestrator.pool import Pool
from weft.orchestrator.tokens.token_path import TokenPath
from weft.programs.prompt import Prompt
from weft.types import Message


@dataclass(frozen=True)
class _View:
    """A model's chat template under the settings of a call."""

    pool: Pool
    model: str
    template: Mapping[str, Any] | None

    @property
    def key(self) -> str:
        """What ids are remembered by."""
        settings = json.dumps(self.template, sort_keys=True) if self.template else ""
        return self.model + settings

    async def render(self, messages: tuple[Message, ...], *, open: bool) -> tuple[int, ...]:
        return await self.pool.render(self.model, messages, open=open, template=self.template)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return await self.pool.tokenize(self.model, text)


async def token_ids(
    prompt: Prompt, pool: Pool, model: str, template: Mapping[str, Any] | None = None
) -> tuple[int, ...]:
    """The ids of `prompt` for `model`; ends where the model is to go on.

    What `model` produced keeps its ids. Text is rendered by an engine under the model's chat
    template; where text follows produced tokens, the rendering of the whole is used from
    the end of the produced part on. A template that rewrites earlier turns (one that drops
    old thinking, say), or refuses to leave such a turn open, leaves no such place: then the
    rendering of the whole is taken, as a chat endpoint would. Text within an answer that
    itself can't be rendered open is tokenised alone, and follows what was there.

    Args:
        prompt: the conversation.
        pool: whose engines render.
        model: whose template and tokens are wanted.
        template: settings of the template, such as whether to think.

    Raises:
        RequestRejected: the template refuses the conversation.
    """
    return (await token_path(prompt, pool, model, template)).tokens


async def token_path(
    prompt: Prompt, pool: Pool, model: str, template: Mapping[str, Any] | None = None
) -> TokenPath:
    """As `token_ids`, with the hashes of the blocks; both go on from where they are known."""
    view = _View(pool, model, template)
    key = view.key
    produced: list[tuple[int, ...]] = []
    piece = prompt
    while (known := pool.paths.get((piece.key, key))) is None and _is_produced(piece, model):
        assert piece.parent is not None
        assert piece.tokens is not None
        produced.append(piece.tokens)
        piece = piece.parent
    if known is None:
        path = TokenPath(await _ids(prompt, view))
    elif not produced:
        return known
    else:
        path = known.extended(list(chain.from_iterable(reversed(produced))))
    return pool.paths.keep((prompt.key, key), path)


async def _ids(prompt: Prompt, view: _View) -> tuple[int, ...]:
    key, model = view.key, view.model
    # From the newest piece of text back to the oldest that must be known for it. A loop, not
    # a recursion: a search's path may have thousands of pieces.
    wanted: list[Prompt] = []
    at: Prompt | None = _text_below(prompt, model)
    while at is not None and key not in at.ids:
        wanted.append(at)
        start = _last_produced(at, model)
        at = None if start is None else _text_below(start, model)
    for piece in reversed(wanted):
        piece.ids[key] = await _render(piece, view)
    return _exact(prompt, view)


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


def _exact(prompt: Prompt, view: _View) -> tuple[int, ...]:
    """The ids of a Prompt of which the text below what was produced last is known.

    They are put together anew each time: kept at every step of a path, they would take
    memory quadratic in its length.
    """
    produced: list[tuple[int, ...]] = []
    at = prompt
    while _is_produced(at, view.model):
        assert at.parent is not None
        assert at.tokens is not None
        produced.append(at.tokens)
        at = at.parent
    known = at.ids[view.key]
    return (*known, *chain.from_iterable(reversed(produced))) if produced else known


async def _render(piece: Prompt, view: _View) -> tuple[int, ...]:
    """The ids of a Prompt that ends with text."""
    start = _last_produced(piece, view.model)
    whole = await _try(view, piece, open=piece.open)
    if start is not None:
        written = None if whole is None else await _try(view, start, open=True)
        if whole is not None and written is not None and whole[: len(written)] == written:
            return _exact(start, view) + whole[len(written) :]
        if piece.open and (added := _added(piece, start)) is not None:
            return _exact(start, view) + await view.tokenize(added)
    if whole is not None:
        return whole
    if not piece.open:
        return await view.render(piece.messages, open=False)  # raises what it says
    *earlier, answer = piece.messages
    before = await view.render(tuple(earlier), open=False)
    return before + await view.tokenize(answer.content)


async def _try(view: _View, prompt: Prompt, *, open: bool) -> tuple[int, ...] | None:
    """A rendering, or None if the template refuses it."""
    try:
        return await view.render(prompt.messages, open=open)
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
