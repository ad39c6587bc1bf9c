"""The exact token ids of a Prompt, without ever re-tokenising what an engine produced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from weft.errors import RequestRejected, Unsupported
from weft.orchestrator.pool import Pool
from weft.orchestrator.tokens.token_path import TokenPath
from weft.parsers.thinking import opening_mark
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

    @property
    def opens_thinking(self) -> bool:
        """Whether the template itself begins an answer's thinking."""
        if (self.template or {}).get("enable_thinking") is False:
            return False
        return self.pool.models.opens_thinking(self.model)

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
    itself can't be rendered open, or whose spaces the template may trim, is tokenised alone,
    and follows what was there. So is an open answer of text that begins with its thinking: that
    of another model, say.

    Args:
        prompt: the conversation.
        pool: whose engines render.
        model: whose template and tokens are wanted.
        template: settings of the template, such as whether to think.

    Raises:
        RequestRejected: the template refuses the conversation.
        Unsupported: there are images or files in it.
    """
    return (await token_path(prompt, pool, model, template)).tokens


async def token_path(
    prompt: Prompt, pool: Pool, model: str, template: Mapping[str, Any] | None = None
) -> TokenPath:
    """As `token_ids`, with the hashes of the blocks; both go on from where they are known."""
    if prompt.has_media:
        raise Unsupported(
            f"{model} is sent token ids, which can't hold an image or a file; reach its server by "
            f"its chat endpoint: OpenAIEngine({model!r}, 'http://.../v1')"
        )
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
    if start is None:
        return await _alone(piece, view)
    end, added = _rest_of_answer(piece, start)
    exact = end.ids.get(view.key) if added else None
    if exact is None:
        exact = _exact(start, view)
        exact += await _appended(start, end, added, view) if added else ()
    if end is piece and piece.open:
        return exact
    whole, written = await _try(view, piece, open=piece.open), await _try(view, end, open=True)
    if whole is None or written is None or whole[: len(written)] != written:
        return await _alone(piece, view)
    if await _is_trimmed_away(end, written, view):
        return await _alone(piece, view)
    whole = await _alone(piece, view) if piece.open else whole
    return exact + whole[len(written) :]


async def _alone(piece: Prompt, view: _View) -> tuple[int, ...]:
    """The rendering of a Prompt, whatever produced it; of an open answer nothing is trimmed."""
    if not piece.open:
        return await view.render(piece.written(view.model), open=False)
    *before, answer = piece.written(view.model)
    earlier, text = tuple(before), answer.content
    if mark := opening_mark(text):
        # Some templates put thinking of their own before it, others take it away.
        begun = await view.render(earlier, open=False)
        if view.opens_thinking:
            text = text.lstrip().removeprefix(mark).lstrip("\n")
        return begun + await view.tokenize(text) if text else begun
    whole = await _try(view, piece, open=True)
    if whole is None:
        return await view.render(earlier, open=False) + await view.tokenize(text)
    bare = text.rstrip()
    if len(bare) < len(text):
        trimmed = await view.render((*earlier, Message("assistant", bare)), open=True)
        if trimmed[: len(whole)] == whole:
            return trimmed + await view.tokenize(text[len(bare) :])
    return whole


async def _appended(start: Prompt, end: Prompt, text: str, view: _View) -> tuple[int, ...]:
    """The ids of text that follows what a model produced, within the same answer.

    Args:
        start: ends with what was produced.
        end: ends with the text.
        text: what is added.
        view: the template.
    """
    # Where a template trims answers, renderings can't tell spaces at these places.
    if start.answer[-1:].strip() and text[-1:].strip():
        whole, written = await _try(view, end, open=True), await _try(view, start, open=True)
        if whole is not None and written is not None and whole[: len(written)] == written:
            return whole[len(written) :]
    return await view.tokenize(text)


async def _is_trimmed_away(end: Prompt, written: tuple[int, ...], view: _View) -> bool:
    """Whether nothing is left of an answer in its rendering, for it is all spaces."""
    if not end.answer or end.answer.strip():
        return False
    begun = await view.render(end.written(view.model)[:-1], open=False)
    return begun[: len(written)] == written


async def _try(view: _View, prompt: Prompt, *, open: bool) -> tuple[int, ...] | None:
    """A rendering, or None if the template refuses it."""
    try:
        return await view.render(prompt.written(view.model), open=open)
    except RequestRejected:
        return None


def _rest_of_answer(piece: Prompt, start: Prompt) -> tuple[Prompt, str]:
    """What follows `start` in its answer, up to `piece` at most: where it ends, and its text."""
    between: list[Prompt] = []
    at = piece
    while at is not start:
        between.append(at)
        assert at.parent is not None
        at = at.parent
    end, texts = start, list[str]()
    for one in reversed(between):
        if one.role != "assistant" or not end.open:
            break
        texts.append(one.text)
        end = one
    return end, "".join(texts)
