"""power: answers drawn by a power of their probability."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft.errors import EngineError, Unsupported, UsageError, WeftError
from weft.parsers.thinking import split_thinking
from weft.parts.parameters import param
from weft.programs import Completion, Prompt, generate
from weft.search.answers.failures import NO_RESULT
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.types import MoreSampling, TokenLogprob

TOP = 20
"""Proposals draw each token among so many: engines report no more of its alternatives."""


@strategy("power")
class Power(Strategy):
    """A sample of p(answer)^alpha, where p is the model's probability (Karan and Du 2025).

    A proposal cuts the answer at a random token, and the model goes on from there at temperature
    1 / alpha. It takes the answer's place as often as Metropolis and Hastings have it. What is
    before the cut lies in the engine's cache, so only what follows it is computed. An answer
    grows by `every` tokens at a time, with n proposals at each length. When it has ended, n
    proposals follow that may have all the tokens of an answer.

    Each token is one of the 20 likeliest in its place: of these engines report the
    probabilities, so that of a proposal is known too. The more proposals, the closer the sample
    is to p^alpha among such answers. `top_p`, `min_p` and penalties of a question make it less
    exact, as does an engine that does not report the probability of an answer's end.
    """

    title = "power sampling"
    family = "sampling"
    source = "Karan and Du 2025"
    needs = ("logprobs", "continuation")

    alpha: float = param(4.0, "power of the probability", least=1, main=True)
    n: int = param(10, "proposals at each length of the answer", least=1, main=True)
    every: int = param(192, "tokens by which the answer grows", least=1)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        if question.schema is not None:
            raise UsageError(
                "a strategy that goes on with parts of its answer can't hold it to a schema; use "
                "one that draws whole answers, such as majority"
            )
        chain = Chain(question, self)
        drawn = await collect(chain.sample, 1)
        drawn.errors += chain.errors
        return answered(drawn, None, None, proposals=chain.proposals, accepted=chain.accepted)


@dataclass(frozen=True)
class Token:
    """A token of an answer; the last one may be its end.

    Attributes:
        id: of the engine's vocabulary; None for the end.
        text: what it says.
        logp: its log-probability by the model.
        logq: the same, of being proposed.
    """

    id: int | None
    text: str
    logp: float
    logq: float


def log_acceptance(old: Sequence[Token], new: Sequence[Token], cut: int, alpha: float) -> float:
    """The logarithm of how often a proposal takes the answer's place; 0 and more is always.

    Both have the same tokens before `cut`. It was drawn among all places of the old answer, and
    would be among those of the new one on the way back.
    """
    gain = math.fsum(alpha * t.logp - t.logq for t in new[cut:])
    loss = math.fsum(alpha * t.logp - t.logq for t in old[cut:])
    return gain - loss + math.log(max(1, len(old))) - math.log(max(1, len(new)))


@dataclass(frozen=True)
class Draft:
    """An answer as far as it is written.

    Attributes:
        tokens: of the answer, its end included.
        text: of all tokens.
        completion: by which the last of them came.
        over: whether nothing can follow.
    """

    tokens: tuple[Token, ...]
    text: str
    completion: Completion
    over: bool


class Chain:
    """The answers that follow each other.

    Attributes:
        proposals: how many were made.
        accepted: how many of them took the answer's place.
        errors: why others came to nothing.
    """

    def __init__(self, question: Question, settings: Power) -> None:
        self.proposals = self.accepted = 0
        self.errors: list[WeftError] = []
        self._question, self._settings = question, settings
        self._rng = random.Random(stable_seed(question.seed, "power"))
        self._calls = self._tokens = 0
        self._draft: Draft | None = None

    async def sample(self, index: int) -> Candidate:
        """The last answer of the chain, or the one that it has come to."""
        try:
            await self._run()
        except NO_RESULT as error:
            if self._draft is None:
                raise
            self.errors.append(error)
        assert self._draft is not None
        last = self._draft.completion
        told = split_thinking(self._draft.text, ended=last.ended)
        shown = "" if last.in_thinking else told.text
        value = self._question.read(last, shown)
        return Candidate(index, shown, value, self._tokens, last.whole, reasoning=told.reasoning)

    async def _run(self) -> None:
        most, every, limit = self._question.max_tokens, self._settings.every, 0
        while limit != most and (self._draft is None or not self._draft.over):
            limit = limit + every if most is None else min(limit + every, most)
            self._draft = await self._write(self._draft.tokens if self._draft else (), limit)
            await self._propose(self._draft, limit)
        if limit != most and self._draft is not None:
            await self._propose(self._draft, most)

    async def _propose(self, draft: Draft, limit: int | None) -> None:
        for _ in range(self._settings.n):
            cut = self._rng.randrange(max(1, len(draft.tokens)))
            self.proposals += 1
            try:
                new = await self._write(draft.tokens[:cut], limit)
            except EngineError as error:
                self.errors.append(error)
                continue
            log = log_acceptance(draft.tokens, new.tokens, cut, self._settings.alpha)
            if log >= 0 or self._rng.random() < math.exp(log):
                self._draft = draft = new
                self.accepted += 1

    async def _write(self, kept: Sequence[Token], limit: int | None) -> Draft:
        """The answer that goes on from what is kept, up to so many tokens in all."""
        question, temperature = self._question, 1 / self._settings.alpha
        before = "".join(t.text for t in kept)
        room = None if limit is None else limit - len(kept)
        self._calls += 1
        more: MoreSampling = {**question.sampling, "top_k": TOP}
        completion = await generate(
            self._prompt(kept, before),
            max_tokens=room,
            temperature=temperature,
            top_p=question.top_p,
            stop=question.stop,
            seed=stable_seed(question.seed, "power", self._calls),
            logprobs=TOP,
            **more,
        )
        if "logprobs" in completion.missing:
            raise Unsupported(
                f"{completion.engine} reports no log-probabilities, which {self._settings.name} "
                "needs; use an engine that does, such as vLLM"
            )
        self._tokens += completion.usage.completion
        ids = completion.tokens or (0,) * len(completion.logprobs)
        new = [_token(i, t, temperature) for i, t in zip(ids, completion.logprobs, strict=True)]
        if completion.ended:
            # Where its probability is not known, the end is as good a one as any.
            end = completion.end or TokenLogprob("", 0.0)
            new.append(_token(None, end, temperature))
        tokens, text = (*kept, *new), before + completion.prompt.text
        if (ends := _stopped(text, len(before), question.stop)) is not None:
            # The engine has not seen this stop string, which begins in what was kept.
            tokens = _up_to(tokens, ends)
            text = "".join(t.text for t in tokens)
            stopped = replace(completion, finish_reason="stop", ended=False)
            return Draft(tokens, text, stopped, True)
        cut_off = completion.finish_reason == "length" and room == len(new)
        return Draft(tokens, text, completion, not cut_off)

    def _prompt(self, kept: Sequence[Token], text: str) -> Prompt:
        """The question with the beginning of an answer, which goes back as the same tokens."""
        if not kept or self._draft is None:
            return self._question.prompt
        last = self._draft.completion
        told = last.prompt
        return self._question.prompt.produced(
            text,
            tokens=None if told.tokens is None else tuple(t.id for t in kept if t.id is not None),
            model=told.model or "",
            call=last.call,
            in_thinking=split_thinking(text).inside,
        )


def _stopped(text: str, begun: int, stop: Sequence[str]) -> int | None:
    """Where a stop string ends that begins before `begun` and ends behind; None if none does."""
    ends = [
        at + len(one)
        for one in stop
        if (at := text.find(one, max(0, begun - len(one) + 1))) >= 0 and at < begun
    ]
    return min(ends, default=None)


def _up_to(tokens: Sequence[Token], length: int) -> tuple[Token, ...]:
    """The tokens of the first so many characters, the last one whole."""
    said = 0
    for number, token in enumerate(tokens, 1):
        said += len(token.text)
        if said >= length:
            return tuple(tokens[:number])
    return tuple(tokens)


def _token(id: int | None, reported: TokenLogprob, temperature: float) -> Token:
    """A token with its probabilities: the model's, and that of a proposal's at a temperature."""
    among = {**reported.top, reported.token: reported.logprob}.values()
    most = max(among)  # which no power of its probability brings to 0
    total = math.fsum(math.exp((logp - most) / temperature) for logp in among)
    logq = (reported.logprob - most) / temperature - math.log(total)
    return Token(id, reported.token, reported.logprob, logq)
