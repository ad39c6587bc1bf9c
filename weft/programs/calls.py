"""One call: from a Prompt to an engine and back, through Store, budgets and scheduler."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from typing import TYPE_CHECKING

import anyio

from weft.backends.wire import template_settings
from weft.errors import BudgetExceeded
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.orchestrator.pool import Pool
from weft.programs.prompt import Prompt
from weft.programs.replay import Replay
from weft.programs.scope import Scope
from weft.programs.tokens import token_ids
from weft.thinking import Thinking, split_thinking
from weft.types import Delta, FinishReason, Request, Sampling, Timing, TokenLogprob, Usage

if TYPE_CHECKING:
    from weft.store.store import StoredResult


@dataclass(slots=True)
class Outcome:
    """What a call gave, or has given so far.

    Attributes:
        text: all that was generated, marked thinking included.
        reasoning: thinking that the engine told apart.
        inside: whether the text begins within thinking.
        missing: what was asked for and is not there.
    """

    id: str
    text: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    asked: tuple[float, ...] = ()
    finish_reason: FinishReason = "cancelled"
    ended: bool = False
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    engine: str = ""
    reasoning: str = ""
    inside: bool = False
    missing: tuple[str, ...] = ()

    @property
    def thinking(self) -> Thinking:
        """The text read: its thinking and its answer.

        A model that ended what it was to begin with thinking, without ever ending that, did
        not think.
        """
        found = split_thinking(self.text, self.inside)
        if self.inside and self.ended and found.inside:
            return split_thinking(self.text)
        return found

    def record(self) -> str:
        """As JSON, for the Store."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, id: str, record: str) -> Outcome:
        """A stored outcome, under the id that the call has in this run."""
        data = json.loads(record)
        data["id"] = id
        data["tokens"] = tuple(data["tokens"])
        data["asked"] = tuple(data["asked"])
        data["missing"] = tuple(data.get("missing", ()))
        data["logprobs"] = [TokenLogprob(**t) for t in data["logprobs"]]
        data["usage"] = Usage(**data["usage"])
        data["timing"] = Timing(**data["timing"])
        return cls(**data)


_FIRST = ("max_tokens", "temperature", "top_p", "stop", "seed", "logprobs", "schema")
_LATER = {f.name: f.default for f in fields(Sampling) if f.name not in _FIRST}
"""Settings that keys hold only where they are not left alone."""


def call_key(
    model: str, prompt: Prompt, sampling: Sampling, ask: tuple[str, ...], index: int
) -> str:
    """What determines a call's result: model, prompt, settings and sample index."""
    how = asdict(sampling)
    for name, default in _LATER.items():
        if how[name] == default:
            del how[name]  # results stored before there was this setting keep their keys
    settings = json.dumps([how, ask, index], sort_keys=True, default=str)
    return blake2b(prompt.key + f"\0{model}\0{settings}".encode(), digest_size=20).hexdigest()


async def call(
    scope: Scope,
    role: str,
    prompt: Prompt,
    sampling: Sampling,
    *,
    options: tuple[str, ...] = (),
    asked: tuple[int, ...] = (),
    suffix: tuple[int, ...] = (),
    index: int,
) -> Outcome:
    """Run one call, or give back its stored result.

    Args:
        scope: where in which run.
        role: picks the model.
        prompt: what to continue or answer.
        sampling: how.
        options: texts whose probability is wanted.
        asked: token ids whose probability is wanted at the next position.
        suffix: ids that follow the prompt's (within a scored option).
        index: which sample of this prompt it is.
    """
    model = scope.model(role)
    journal = scope.journal
    ask = (*options, *map(str, asked), "after", *map(str, suffix)) if options or asked else ()
    key = call_key(model, prompt, sampling, ask, index)
    id = journal.begin(
        "call", scope.id, prompt=prompt, model=model, role=role, score=bool(ask), index=index
    )
    stored = scope.store.get(key) if scope.store is not None else None
    if scope.replay is not None:
        await _due(scope, scope.replay, id, stored)
    if stored is not None and stored.done:
        outcome = Outcome.of(id, stored.outcome)
        journal.usage += outcome.usage
        journal.note("done", id, outcome=outcome, stored=True)
        return outcome
    tokens: tuple[int, ...] | None = None
    if scope.pool.takes_tokens(model):
        settings = template_settings(sampling)
        tokens = await token_ids(prompt, scope.pool, model, settings) + suffix
    request = Request(
        id=f"{journal.name}-{id}",
        model=model,
        messages=prompt.messages,
        open=prompt.open,
        tokens=tokens,
        sampling=sampling,
        ask=asked,
        ask_texts=options,
        cache_salt=scope.cache_salt,
    )
    outcome = Outcome(id, inside=begins_inside(prompt, sampling, scope.pool, model))
    try:
        program = scope.program or journal.name
        await _send(scope, Call(request, program, scope.id, scope.stage, scope.siblings), outcome)
    except BaseException as error:
        if outcome.engine:
            _keep(scope, key, outcome, done=False)
        refused = isinstance(error, Exception) and not isinstance(error, BudgetExceeded)
        journal.note("failed" if refused else "cancelled", id, outcome=outcome)
        raise
    if outcome.thinking.unopened:
        scope.pool.learn_opens_thinking(model)
    _keep(scope, key, outcome, done=True)
    journal.note("done", id, outcome=outcome, stored=False)
    return outcome


def begins_inside(prompt: Prompt, sampling: Sampling, pool: Pool, model: str) -> bool:
    """Whether what is generated next begins within the model's thinking."""
    written: list[str] = []
    at: Prompt | None = prompt
    while at is not None and at.open and at.call is None:
        written.append(at.text)
        at = at.parent
    if at is not None and at.open:
        inside = at.in_thinking
    else:  # behind the template's own beginning of an answer, if nothing is written yet
        begun = sampling.thinking is not False and pool.opens_thinking(model)
        inside = begun and not "".join(written)
    return split_thinking("".join(reversed(written)), inside).inside


async def _due(scope: Scope, replay: Replay, id: str, stored: StoredResult | None) -> None:
    """Wait for a stored result's turn, or until none is left to come before a call is sent.

    If the program cancels the call meanwhile, as it did the first time, what it cost then
    counts.
    """
    try:
        if stored is not None and stored.done:
            await replay.turn(stored.order)
        else:
            await replay.exhausted()
    except anyio.get_cancelled_exc_class():
        if stored is not None:
            outcome = Outcome.of(id, stored.outcome)
            scope.journal.usage += outcome.usage
            scope.journal.note("cancelled", id, outcome=outcome, stored=True)
        raise


def _keep(scope: Scope, key: str, outcome: Outcome, *, done: bool) -> None:
    scope.journal.usage += outcome.usage
    if scope.store is not None:
        scope.store.put(key, outcome.record(), done=done)


async def _send(scope: Scope, call: Call, outcome: Outcome) -> None:
    """Have the scheduler run the call, counting and checking budgets as tokens come."""
    attempts = _Attempts(scope, call, outcome)
    abort = anyio.CancelScope(
        deadline=min((b.deadline for b in scope.budgets), default=float("inf"))
    )
    with ExitStack() as held:
        for b in scope.budgets:
            b.admit(abort, prompt_tokens=call.prompt_tokens)
            held.callback(b.release, abort)
        try:
            with abort:
                await scope.pool.scheduler.run(call, attempts)
        finally:
            attempts.close()
    if abort.cancelled_caught:
        for b in scope.budgets:
            b.check()
        raise AssertionError("a call was aborted by no budget")


class _Attempts:
    """Follows a call through the engines that try it."""

    def __init__(self, scope: Scope, call: Call, outcome: Outcome) -> None:
        self._scope, self._call, self._outcome = scope, call, outcome
        self._created = anyio.current_time()
        self._sent = self._first = 0.0
        self._generated = self._prompt = 0
        self._tokens: list[int] = []
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._thinking = Thinking(outcome.inside)
        self._thought = 0  # tokens of it
        self._lost = Usage()

    def sent(self, ticket: Ticket) -> None:
        """The call goes to an engine, perhaps for another time."""
        if self._outcome.engine:
            self._lost += self._usage(kept=False)
            self._text.clear()
            self._reasoning.clear()
            self._thinking, self._thought = Thinking(self._outcome.inside), 0
            self._tokens.clear()
            self._outcome.logprobs.clear()
            self._outcome.asked = ()
            if self._scope.live is not None:
                self._scope.live(self._outcome.id, None)
        self._outcome.engine = ticket.engine
        self._sent, self._first, self._generated = anyio.current_time(), 0.0, 0
        self._prompt = self._call.prompt_tokens
        self._charge(Usage(prompt=self._prompt))
        self._scope.journal.note(
            "sent", self._outcome.id, engine=ticket.engine, reason=ticket.reason
        )

    def delta(self, delta: Delta) -> None:
        """The engine produced something."""
        outcome = self._outcome
        if not self._first:
            self._first = anyio.current_time()
        self._text.append(delta.text)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        told = self._thinking.feed(delta.text) if delta.text else ""
        if delta.reasoning or (self._thinking.inside and not told):
            self._thought += delta.count
        if told and self._scope.live is not None:
            self._scope.live(outcome.id, told)
        self._tokens += delta.tokens
        outcome.logprobs += delta.logprobs
        outcome.asked = outcome.asked or delta.asked
        self._generated += delta.count
        more = Usage(cancelled=delta.count)
        if delta.finish_reason is not None:
            outcome.finish_reason = delta.finish_reason
            outcome.ended = delta.ended
            outcome.missing = delta.missing
            if self._thinking.unopened:
                share = len(self._thinking.reasoning) / max(1, sum(map(len, self._text)))
                self._thought = round(share * self._generated)
            if delta.reasoning_tokens is not None:
                self._thought = delta.reasoning_tokens
            reported = delta.prompt_tokens if delta.prompt_tokens is not None else self._prompt
            more += Usage(prompt=reported - self._prompt)
            self._prompt = reported
            outcome.usage = self._usage(kept=True, cached=delta.cached_tokens or 0)
            more += Usage(
                dollars=outcome.usage.dollars,
                cached=outcome.usage.cached,
                reasoning=outcome.usage.reasoning,
            )
            more += Usage(completion=self._generated, cancelled=-self._generated)
        self._charge(more)

    def close(self) -> None:
        """The call ended, one way or another."""
        outcome = self._outcome
        outcome.text, outcome.tokens = "".join(self._text), tuple(self._tokens)
        outcome.reasoning = "".join(self._reasoning)
        if not outcome.engine:
            return
        now = anyio.current_time()
        outcome.timing = Timing(
            self._sent - self._created, (self._first or now) - self._sent, now - self._created
        )
        if outcome.finish_reason == "cancelled":
            outcome.usage = self._usage(kept=False)
            self._charge(Usage(dollars=outcome.usage.dollars))
        outcome.usage += self._lost
        self._charge(Usage(calls=outcome.usage.calls))

    def _usage(self, *, kept: bool, cached: int = 0) -> Usage:
        price = self._scope.pool.price(self._outcome.engine)
        return Usage(
            calls=1,
            prompt=self._prompt,
            cached=cached,
            completion=self._generated if kept else 0,
            cancelled=0 if kept else self._generated,
            dollars=price.of(prompt=self._prompt, cached=cached, completion=self._generated)
            if price
            else 0.0,
            reasoning=min(self._thought, self._generated),
        )

    def _charge(self, usage: Usage) -> None:
        for b in self._scope.budgets:
            b.charge(usage)
