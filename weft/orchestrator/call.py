"""A call as the scheduler sees it."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from weft.cache.block_hashes import block_hashes, salted
from weft.cache.vllm_hashes import event_hashes, vllm_block_hashes
from weft.orchestrator.estimates.text_lengths import TextLengths, TextSize
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.tokens.token_path import TokenPath, grown_hashes
from weft.types import Message, Request

_EXPECTED_OUTPUT = 256  # tokens, where neither the program nor experience says


def text_size(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> TextSize:
    """How much text a conversation has, with its roles and the tools that it may call."""
    size, media = len(json.dumps(tools)) if tools else 0, 0
    for m in messages:
        text = m.whole
        media += len(m.media)
        size += len(m.role) + 2 + (len(text) if text.isascii() else len(_bytes(text)))
    return TextSize(len(messages), size, media)


@dataclass(slots=True, eq=False)
class Call:
    """A request, and what it belongs to.

    Attributes:
        request: what the engine is asked.
        program: id of the run.
        node: the part of the program that asks.
        stage: the name of that part, the same in every run; profiles are kept under it.
        siblings: branches of its group that run at once, its own included; 1 without a group.
        group: the fan-out that it belongs to.
        deadline: when the first of the budgets in force around it ends, by the scheduler's
            clock.
        calls_left: how many calls these budgets leave, those in flight included.
        tokens_left: how many tokens they leave, prompts included.
        tool: what the program will wait for after the answer, as far as the answer tells;
            may be set until the call has ended.
        patience: seconds for which whoever asks will hardly wait longer: a policy that lets
            calls become overdue lets this one become so by then. None if they wait for ever.
        only: names of the engines that alone can run it, for what they hold; empty for any.
        stays: whether it waits for an engine to come back when none is left; not where
            whoever asks goes elsewhere instead.
        rank: its place among the calls of a batch, whose prompts that begin alike stand beside
            each other; empty outside batches.
        path: what the request's tokens begin with, whose hashes need not be made anew.
        estimate: tokens of the prompt, as far as is known where only its text is.
    """

    request: Request
    program: str = ""
    node: str | None = None
    stage: str = ""
    siblings: int = 1
    group: CallGroup | None = None
    deadline: float | None = None
    calls_left: int | None = None
    tokens_left: int | None = None
    tool: str = ""
    only: tuple[str, ...] = ()
    patience: float | None = None
    stays: bool = True
    rank: tuple[int, ...] = ()
    path: TokenPath | None = None
    estimate: int | None = None
    _hashes: dict[int, list[int]] | None = None
    _reported: dict[int, tuple[list[bytes], list[int]]] | None = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt; an estimate where only its text is known."""
        tokens = self.request.tokens
        if tokens is not None:
            return len(tokens)
        if self.estimate is None:
            self.estimate = TextLengths().tokens(self.request.model, self.text_size)
        return self.estimate

    @property
    def text_size(self) -> TextSize:
        """The prompt's text, with its roles and tools."""
        return text_size(self.request.messages, self.request.sampling.tools)

    @property
    def limit(self) -> int | None:
        """Most tokens that the answer may have, if the program says so."""
        return self.request.sampling.max_tokens

    @property
    def most_tokens(self) -> int:
        """Most tokens that the answer may have, or a guess."""
        return self.limit or _EXPECTED_OUTPUT

    def hashes(self, block_size: int) -> Sequence[int]:
        """Chained hashes of the prompt's whole blocks, for `PrefixIndex`."""
        made = self._hashes
        if made is None:
            made = self._hashes = {}
        known = made.get(block_size)
        if known is None:
            known = self._hash(block_size)
            if self.request.cache_salt:
                known = salted(known, self.request.cache_salt)
            made[block_size] = known
        return known

    def _hash(self, block_size: int) -> list[int]:
        tokens: Sequence[int] | None = self.request.tokens
        if tokens is None:
            tokens = _units(self._text())
        adapter = self.request.adapter
        known = self.path.hashes(block_size) if self.path is not None and not adapter else []
        if not known or len(known) < len(tokens) // block_size:
            known = block_hashes(tokens, block_size, known, _seed(adapter))
        return known

    def reported_hashes(self, block_size: int, answer: Sequence[int] = ()) -> Sequence[int]:
        """The blocks of prompt and answer as vLLM names them in its KV events.

        Empty where the prompt's tokens are not known.
        """
        if self.request.tokens is None or self.request.adapter:
            return ()
        size, made = block_size, self._reported
        if made is None:
            made = self._reported = {}
        if size not in made:
            made[size] = self._named(self.request.tokens, size)
        known, named = made[size]
        if not answer:
            return named
        tokens, salt = (*self.request.tokens, *answer), self.request.cache_salt
        more = vllm_block_hashes(tokens, size, salt, known)[len(known) :]
        return [*named, *event_hashes(more)]

    def _named(self, tokens: Sequence[int], size: int) -> tuple[list[bytes], list[int]]:
        salt = self.request.cache_salt
        known, named = ([], []) if self.path is None else self.path.reported(size, salt)
        hashes = vllm_block_hashes(tokens, size, salt, known)
        return hashes, [*named, *event_hashes(hashes[len(named) :])]

    def grown(self, block_size: int, answer: Sequence[int], count: int) -> Sequence[int]:
        """Chained hashes of the whole blocks of prompt and answer, as an engine caches them.

        Args:
            block_size: tokens in a block.
            answer: ids of the tokens generated so far; those known, if not all are.
            count: how many were generated; the last one's keys and values are not there yet.
        """
        if self.request.tokens is None or not answer:
            return self.hashes(block_size)
        added = answer[: max(0, count - 1)]
        tokens, known = self.request.tokens, self.hashes(block_size)
        seed, salt = _seed(self.request.adapter), self.request.cache_salt
        if not salt:
            return grown_hashes(tokens, added, block_size, known, seed)
        return salted(grown_hashes(tokens, added, block_size, salted(known, salt), seed), salt)

    def _text(self) -> bytes:
        tools = self.request.sampling.tools
        turns = [json.dumps(tools)] if tools else list[str]()  # templates write them first
        for m in self.request.messages:
            turns += (m.role, "\0", m.whole, "\0", *[f"{one.digest}\0" for one in m.media])
        return _bytes("".join(turns))


@dataclass(slots=True)
class PromptMark:
    """By this it is told whether another call's prompt begins with a prompt that is not kept.

    Attributes:
        model: of the call.
        block_size: tokens in a block.
        blocks: whole blocks of the prompt.
        half: the chained hash of the block in their middle.
        last: that of the last of them.
        rest: ids of the tokens behind that, where they are known.
    """

    model: str
    block_size: int
    blocks: int
    half: int
    last: int
    rest: Sequence[int]

    @classmethod
    def of(cls, call: Call, block_size: int) -> PromptMark:
        """The mark of a call's prompt, in blocks of an engine."""
        hashes, tokens = call.hashes(block_size), call.request.tokens
        blocks = len(hashes)
        rest = () if tokens is None else tuple(tokens[blocks * block_size :])
        half, last = (hashes[(blocks - 1) // 2], hashes[-1]) if blocks else (0, 0)
        return cls(call.request.model, block_size, blocks, half, last, rest)

    def leads_to(self, call: Call) -> bool:
        """Whether the call's prompt is the marked one further on, though parts of it may differ.

        So it begins with half of the marked one: some templates rewrite what came last.
        """
        if self.model != call.request.model:
            return False
        hashes, middle = call.hashes(self.block_size), (self.blocks - 1) // 2
        return not self.blocks or (len(hashes) > middle and hashes[middle] == self.half)

    def begins(self, call: Call) -> bool:
        """Whether the call's prompt begins with the marked one, as far as that is known."""
        blocks, hashes = self.blocks, call.hashes(self.block_size)
        if self.model != call.request.model or len(hashes) < blocks:
            return False
        if blocks and hashes[blocks - 1] != self.last:
            return False
        tokens, start = call.request.tokens, blocks * self.block_size
        return tokens is None or tuple(tokens[start : start + len(self.rest)]) == self.rest


def _seed(adapter: str) -> int:
    """Where the prefixes of an adapter begin, which are its own."""
    return xxhash.xxh3_64_intdigest(adapter.encode()) if adapter else 0


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _units(text: bytes) -> Sequence[int]:
    """Numbers that stand for tokens, each of the next few bytes."""
    whole = len(text) // 4 * 4
    units = array("I", text[:whole])
    if sys.byteorder == "little":
        units.byteswap()
    wide = array("q", units)
    if rest := text[whole:]:
        wide.append(int.from_bytes(rest, "big"))
    return wide
