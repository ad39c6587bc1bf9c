"""How a call comes along, on all engines that try it: its text, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from weft.concurrency import now
from weft.orchestrator.call import Call
from weft.orchestrator.dispatch.ticket import Ticket
from weft.parsers.thinking import Thinking
from weft.parsers.tool_calls import read_calls
from weft.programs.budgets.reservation import Reservation
from weft.programs.history.outcome import Outcome
from weft.programs.scope import Scope
from weft.types import NOTHING, Delta, Price, Timing, TokenLogprob, Usage

_FREE = Price(0.0, 0.0)


class CallProgress:
    """Follows a call through the engines that try it, and fills its outcome in.

    What is spent is charged while tokens come, that of lost attempts too.

    Args:
        lost: told of the text of an attempt that another one follows, if anybody is.
        since: when the call began to wait for an engine, on anyio's clock.
    """

    __slots__ = (
        "_call",
        "_charged",
        "_first",
        "_generated",
        "_logprobs",
        "_lost",
        "_outcome",
        "_price",
        "_prompt",
        "_reasoning",
        "_refused",
        "_reservation",
        "_running",
        "_scope",
        "_sent",
        "_since",
        "_tell_lost",
        "_text",
        "_thinking",
        "_thought",
        "_tokens",
    )

    def __init__(
        self,
        scope: Scope,
        call: Call,
        outcome: Outcome,
        reservation: Reservation | None,
        lost: Callable[[str], None] | None,
        since: float,
    ) -> None:
        self._scope, self._call, self._outcome = scope, call, outcome
        self._reservation, self._tell_lost = reservation, lost
        self._since = since
        self._lost = self._charged = NOTHING
        self._running = self._refused = False

    @property
    def unopened(self) -> bool:
        """Whether thinking ended that nothing had begun."""
        return self._thinking.unopened

    def on_sent(self, ticket: Ticket) -> None:
        """The call goes to an engine, perhaps for another time."""
        outcome, held, again = self._outcome, self._reservation, self._running
        if again:
            self._lose()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._thinking, self._thought = Thinking(outcome.inside), 0  # tokens of it
        if again and held is not None:
            held.renew()
            if held.most_tokens is not None:
                outcome.most_tokens = held.most_tokens
                request = self._call.request
                sampling = replace(request.sampling, max_tokens=held.most_tokens)
                self._call.request = replace(request, sampling=sampling)
        assert ticket.replica is not None
        outcome.engine = ticket.engine
        self._price = ticket.replica.engine.price or _FREE
        self._sent, self._first, self._generated = now(), 0.0, 0
        self._prompt, self._running, self._refused = outcome.prompt_tokens, True, False
        said: dict[str, Any] = {"engine": ticket.engine, "reason": ticket.reason}
        if held is not None and held.waited:
            said["held"] = held.waited
        self._scope.journal.note("sent", outcome.id, **said)

    def on_refused(self) -> None:
        """The engine has done nothing for the call, so that costs nothing."""
        self._running, self._refused = False, True

    def _lose(self) -> None:
        """What an engine gave before it failed is void."""
        usage = self._usage(kept=False)
        self._lost += usage
        if self._reservation is not None:
            self._charge(self._reservation, usage)
        self._charged, self._running = NOTHING, False
        if self._tell_lost is not None:
            self._tell_lost("".join(self._text))
        self._outcome.ask_logprobs = ()
        if self._scope.live is not None:
            self._scope.live(self._outcome.id, None)

    def on_delta(self, delta: Delta) -> None:
        """The engine produced something."""
        outcome, held = self._outcome, self._reservation
        if not self._first:
            self._first = now()
        if held is not None and not self._charged.calls:
            self._charge(held, self._usage(kept=False))
        self._text.append(delta.text)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        told = self._thinking.feed(delta.text) if delta.text else ""
        if delta.reasoning or (self._thinking.inside and not told):
            self._thought += delta.count
        if told and self._scope.live is not None:
            self._scope.live(outcome.id, told)
        self._tokens += delta.tokens
        self._logprobs += delta.logprobs
        outcome.ask_logprobs = outcome.ask_logprobs or delta.ask_logprobs
        self._generated += delta.count
        if delta.finish_reason is not None:
            self._finish(delta)
        elif held is not None and delta.count:
            more = Usage(
                cancelled=delta.count,
                dollars=self._price.of(prompt=0, cached=0, completion=delta.count),
            )
            self._charged += more
            held.charge(more)

    def _finish(self, delta: Delta) -> None:
        outcome, held = self._outcome, self._reservation
        outcome.finish_reason, outcome.ended = delta.finish_reason or "stop", delta.ended
        outcome.missing, outcome.end, outcome.calls = delta.missing, delta.end, delta.calls
        if self._thinking.unopened:
            share = len(self._thinking.reasoning) / max(1, sum(map(len, self._text)))
            self._thought = round(share * self._generated)
        if delta.reasoning_tokens is not None:
            self._thought = delta.reasoning_tokens
        request = self._call.request
        if request.sampling.tools:
            self._call.tool = self._next_tool(delta)
        if delta.prompt_tokens is not None:
            self._prompt = delta.prompt_tokens
            if request.tokens is None:
                self._scope.pool.text_lengths.learn(
                    request.model, self._call.text_size, self._prompt
                )
        exact = self._generated if request.tokens is not None else None
        cut = (
            held is not None and outcome.finish_reason == "length" and held.check_end(exact)
        )  # by a budget, not by the program: that is no result
        outcome.usage = self._usage(kept=not cut, cached=delta.cached_tokens or 0)
        if cut:
            outcome.finish_reason = "cancelled"
        if held is not None:
            self._charge(held, outcome.usage)

    def _next_tool(self, delta: Delta) -> str:
        """The tool that the program will wait for, as far as the answer tells."""
        offered = [one["function"]["name"] for one in self._call.request.sampling.tools]
        calls = delta.calls or read_calls(self._thinking.text, offered)[1]
        return next((one.name for one in calls if one.name in offered), "")

    def close(self) -> None:
        """The call ended, one way or another."""
        outcome = self._outcome
        if not outcome.engine:
            return
        outcome.text, outcome.reasoning = "".join(self._text), "".join(self._reasoning)
        outcome.read = self._thinking
        outcome.tokens, outcome.logprobs = tuple(self._tokens), tuple(self._logprobs)
        ended = now()
        outcome.timing = Timing(
            self._sent - self._since, (self._first or ended) - self._sent, ended - self._since
        )
        if not self._running:
            outcome.usage = Usage(calls=1) if self._refused else NOTHING
        elif not outcome.usage.calls:
            outcome.usage = self._usage(kept=False)
        if self._reservation is not None:
            self._charge(self._reservation, outcome.usage)
        if self._lost.calls:
            outcome.usage += self._lost

    def _usage(self, *, kept: bool, cached: int = 0) -> Usage:
        prompt, generated = self._prompt, self._generated
        return Usage(
            calls=1,
            prompt=prompt,
            cached=cached,
            completion=generated if kept else 0,
            cancelled=0 if kept else generated,
            dollars=self._price.of(prompt=prompt, cached=cached, completion=generated),
            reasoning=min(self._thought, generated),
        )

    def _charge(self, held: Reservation, usage: Usage) -> None:
        """Charge what an attempt has cost by now, as far as that was not done before."""
        more, self._charged = usage - self._charged, usage
        held.charge(more, last=True)
