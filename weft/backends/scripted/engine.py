"""A deterministic engine for tests: answers come by a script, in a time that is given."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel

from weft.backends.engine import Engine, EngineLoad, OnDelta
from weft.backends.http.refusals import refusal
from weft.backends.scripted import script
from weft.backends.scripted.answer_tokens import limited, teller
from weft.backends.scripted.blocks import Blocks
from weft.backends.scripted.requests import KEPT, Admitted, Received
from weft.backends.scripted.script import Garbled, Replies, Scores, Scripted
from weft.backends.scripted.vocabulary import Vocabulary
from weft.errors import ContextExceeded, EngineUnavailable, RequestRejected, Unsupported
from weft.types import Delta, Message, Price, Request, ToolCall

__all__ = ["Scripted", "ScriptedEngine", "ToolCall"]

PACE = 0.001
"""Seconds between the pieces of an endless answer, at least."""


class ScriptedEngine(Engine):
    """An engine for tests: answers by a script, token by token.

    Every character is a token, unless `pieces` or `bytes` say otherwise. The engine sleeps by
    anyio, so trio's autojump clock can run the engine in virtual time. The prefix cache works in
    whole blocks as vLLM's does, and forgets the least recently used.

    Args:
        replies: one answer for every request; or answers in turn; or a dict of answers by the
            text of the last message; or a function of the request. An answer is a text or
            `Scripted`.
        scores: probabilities of texts, for requests with `ask` or `ask_texts`; or a function
            of the request that gives the probabilities.
        model: the name of the model.
        name: unique in a pool; the model's name by default.
        context: most tokens of prompt and answer.
        concurrency: how many requests run at once; further requests wait.
        prompt_seconds: time for each prompt token that is not cached.
        token_seconds: time for each generated token.
        kv_tokens: how many tokens the cache holds; unlimited by default.
        block_size: tokens in a block of the cache.
        pieces: texts that are one token each, as real vocabularies have them.
        bytes: with True all other tokens are bytes, so an answer may be cut off within a character.
        takes_tokens: with False the engine takes text only, and can't continue answers.
        calls_tools: with False the engine can't be told of tools, so the model is told in words.
        price: what tokens cost.

    Attributes:
        requests: the latest requests to generate, oldest first.
        received: the latest requests of any kind that came over HTTP, oldest first.
        running: how many requests run now.
        waiting: how many requests wait now.
        peak: how many requests have run at once at most.
        cancelled: how many requests were cancelled.
    """

    real = False

    def __init__(
        self,
        replies: Replies = "",
        scores: Scores | None = None,
        *,
        model: str = "scripted",
        name: str | None = None,
        context: int | None = None,
        concurrency: int = 64,
        prompt_seconds: float = 0.0,
        token_seconds: float = 0.0,
        kv_tokens: int | None = None,
        block_size: int = 16,
        pieces: Sequence[str] = (),
        bytes: bool = False,
        takes_tokens: bool = True,
        calls_tools: bool = True,
        price: Price | None = None,
    ) -> None:
        self.script = script.Script([replies] if isinstance(replies, str) else replies)
        self.scores = scores
        self.model = model
        self.name = name or model
        self.context = context
        self.concurrency = concurrency
        self.prompt_seconds = prompt_seconds
        self.token_seconds = token_seconds
        self.kv_tokens = kv_tokens
        self.block_size = block_size
        self.vocabulary = Vocabulary(pieces, bytes=bytes)
        self.takes_tokens = takes_tokens
        self.continues = takes_tokens
        self.calls_tools = calls_tools
        self.price = price
        self.requests: list[Request] = []
        self.received: deque[Received] = deque(maxlen=KEPT)
        self.running = self.waiting = self.peak = self.cancelled = 0
        self._blocks = Blocks(block_size, kv_tokens)
        self._dead = False
        self._scopes: set[anyio.CancelScope] = set()
        self._slots: anyio.Semaphore | None = None

    async def connect(self) -> None:
        """Begin to serve, in the current event loop."""
        if self._dead:
            raise EngineUnavailable(f"the engine {self.name} is dead; revive() it")
        self._slots = anyio.Semaphore(self.concurrency)

    def kill(self) -> None:
        """Die: requests that run or come fail, until `revive`."""
        self._dead = True
        for scope in self._scopes:
            scope.cancel()

    def revive(self) -> None:
        """Live again, with an empty cache."""
        self._dead = False
        self._blocks.clear()

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        """Answer by the script."""
        await self.perform(self.admit(request), on_delta)

    def admit(self, request: Request) -> Admitted:
        """Take a request in, or refuse it, before anything is spent on it."""
        self.requests.append(request)
        if len(self.requests) > 2 * KEPT:
            del self.requests[:KEPT]
        self._alive()
        if request.open and not self.continues:
            raise Unsupported(f"{self.name} can't continue an open answer; close it")
        if request.tokens is not None:
            tokens = tuple(request.tokens)
        else:
            tokens = self.vocabulary.render(request.messages, open=request.open)
        if self.context is not None and len(tokens) >= self.context:
            raise ContextExceeded(
                f"the prompt of {len(tokens)} tokens does not fit the model's context, which "
                f"holds {self.context} with the answer; shorten the prompt",
                len(tokens),
                self.context,
            )
        if request.ask or request.ask_texts:
            return Admitted(request, tokens, None)
        answer = self.script.answer(request)
        if answer.refuses is not None:
            raise RequestRejected(answer.refuses)
        if answer.status is not None:
            wait = answer.retry_after
            headers = {"retry-after": f"{wait:g}"} if wait is not None else {}
            raise refusal(self.name, answer.status, b"as scripted", headers)
        if answer.garbage is None:
            self._die(answer, 0)
        return Admitted(request, tokens, answer)

    async def perform(self, job: Admitted, on_delta: OnDelta) -> None:
        """Answer what has been taken in, when its turn comes."""
        if self._slots is None:
            self._slots = anyio.Semaphore(self.concurrency)
        self._alive()
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                self.waiting += 1
                try:
                    await self._slots.acquire()
                finally:
                    self.waiting -= 1
                self.running += 1
                self.peak = max(self.peak, self.running)
                try:
                    await self._run(job, on_delta)
                finally:
                    self.running -= 1
                    self._slots.release()
            except anyio.get_cancelled_exc_class():
                self.cancelled += not self._dead
                raise
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            raise EngineUnavailable(f"the engine {self.name} died; revive() it")

    def _alive(self) -> None:
        if self._dead:
            raise EngineUnavailable(f"the engine {self.name} died; revive() it")

    async def _run(self, job: Admitted, on_delta: OnDelta) -> None:
        tokens = job.tokens
        cached = self._blocks.found(tokens, job.salt)
        self._blocks.add(tokens, job.salt)
        await anyio.sleep((len(tokens) - cached) * self.prompt_seconds)
        if job.answer is None:
            wanted = self._ask_logprobs(job.request, tokens)
            await anyio.sleep(self.token_seconds)
            on_delta(
                Delta(
                    count=1,
                    ask_logprobs=wanted,
                    finish_reason="length",
                    prompt_tokens=len(tokens),
                    cached_tokens=cached,
                )
            )
        else:
            await self._generate(job, job.answer, cached, on_delta)

    async def _generate(
        self, job: Admitted, answer: Scripted, cached: int, on_delta: OnDelta
    ) -> None:
        request, tokens = job.request, job.tokens
        if answer.hangs:
            await anyio.sleep_forever()
        seconds = self.token_seconds if answer.seconds is None else answer.seconds
        whole = script.written(answer.text, answer.tools)
        written = self.vocabulary.encode(whole)
        if answer.endless:
            again = Delta(whole, written if self.takes_tokens else (), len(written))
            while True:
                await self._spend(max(seconds, PACE))
                on_delta(again)
        begun = self.vocabulary.begun(tokens)
        if b"".join(map(self.vocabulary.raw, written[: len(begun)])) == begun:
            written = written[len(begun) :]  # of its first character these are there
        room = self.context - len(tokens) if self.context is not None else None
        written, finish = limited(self.vocabulary, written, request.sampling, room, begun)
        last = () if finish[1] else written[-1:]  # comes with the finish; else the END token does
        says = teller(self.vocabulary, begun, request.sampling, self.takes_tokens)
        for index, token in enumerate(written[: len(written) - len(last)]):
            self._die(answer, index)
            await self._spend(seconds)
            on_delta(says((token,)))
        self._die(answer, len(written))
        await self._spend(seconds)
        self._blocks.add(tokens + written[:-1], job.salt)
        on_delta(
            replace(
                says(last),
                finish_reason=finish[0],
                ended=finish[1],
                prompt_tokens=len(tokens),
                cached_tokens=cached,
            )
        )

    def _die(self, answer: Scripted, index: int) -> None:
        if answer.garbage is not None and index >= (answer.dies_after or 0):
            raise Garbled(answer.garbage)
        if answer.dies_after is not None and index >= answer.dies_after:
            raise EngineUnavailable(f"the engine {self.name} died, as scripted")

    async def _spend(self, seconds: float) -> None:
        if seconds:
            await anyio.sleep(seconds)
        else:
            await anyio.lowlevel.checkpoint()

    def _ask_logprobs(self, request: Request, tokens: tuple[int, ...]) -> tuple[float, ...]:
        scores = self.scores_of(request)
        if request.ask:
            messages, open = self.vocabulary.parse(tokens)
            written = messages[-1].content if open else ""
            likely = [
                script.next_probability(scores, written, self.vocabulary.decode((token,)))
                for token in request.ask
            ]
        else:
            likely = [scores.get(text, 0.0) for text in request.ask_texts]
        return tuple(math.log(p) if p > 0 else -math.inf for p in likely)

    def scores_of(self, request: Request) -> Mapping[str, float]:
        """The probabilities of texts that are given for a request."""
        if self.scores is None:
            raise Unsupported(f"{self.name} has no scores; give it `scores`")
        return self.scores(request) if callable(self.scores) else self.scores

    async def render(
        self,
        messages: tuple[Message, ...],
        *,
        open: bool,
        template: Mapping[str, Any] | None = None,
    ) -> tuple[int, ...]:
        """A conversation's tokens; the template has no settings, and writes tools first."""
        tools = (template or {}).get("tools") if self.calls_tools else None
        told = self.vocabulary.encode(json.dumps(tools)) if tools else ()
        return told + self.vocabulary.render(messages, open=open)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """A text's tokens."""
        return self.vocabulary.encode(text)

    async def load(self) -> EngineLoad:
        """What runs and waits, and how full the cache is."""
        full = len(self._blocks) * self.block_size / self.kv_tokens if self.kv_tokens else 0.0
        return EngineLoad(self.running, self.waiting, full)

    async def healthy(self) -> bool:
        """Whether the engine lives: whether it was not killed, or was revived."""
        return not self._dead

    async def aclose(self) -> None:
        """Do nothing: there is nothing to let go of."""
