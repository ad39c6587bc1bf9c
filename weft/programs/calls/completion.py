"""Completion: what one call to `generate` gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from typing_extensions import TypeVar

from weft.errors import UsageError
from weft.programs.prompt import Prompt
from weft.types import FinishReason, Timing, TokenLogprob, ToolCall, ToolResult, Usage

if TYPE_CHECKING:
    from weft.programs.calls.tool_use import ToolUse
    from weft.programs.history.outcome import Outcome
    from weft.programs.scope import Scope
    from weft.programs.tools.marking import Tool

T = TypeVar("T", default=str)


@dataclass(frozen=True, slots=True)
class Completion(Generic[T]):
    """An answer, or the next piece of an open one.

    Attributes:
        value: the answer as the type that `generate(returns=...)` asked for, None while the model
            calls tools; else its text.
        text: the answer, without the thinking and the calls of tools. The text ends with the
            last whole character of its tokens; the rest of a character that was cut off comes with
            the next piece. A stop string that matched is part of the text, to the end of the last
            token.
        tokens: the ids of all generated tokens, if the engine reports ids.
        logprobs: one for each token, if log-probabilities were asked for.
        finish_reason: `stop` (the model ended, or a stop string matched), `length`, or the
            engine's own word, such as `content_filter` (see `FinishReason`).
        ended: whether the model itself ended the answer, so that nothing is left to continue.
        usage: tokens of this call, and of the answers that were mended before it.
        timing: seconds queued, to the first token, and in all.
        prompt: the Prompt extended by this text, open.
        index: which sample of this Prompt it is.
        engine: name of the engine that ran the call.
        call: the call's id in its run.
        tools: that were offered, by name.
        reasoning: what the model thought before the answer, if the engine or the text shows
            the thinking.
        in_thinking: whether the text was cut off within the thinking, so that there is no
            answer yet.
        missing: what was asked for and is not there: `logprobs`; `top_logprobs` (fewer
            alternatives than asked for); `usage` (the counts are estimates); `finish_reason`;
            `schema` (the model was told the schema in words); `max_tokens` (the answer is longer);
            `text` (the character is lacking that an earlier answer began); or a setting that the
            engine does not know, such as `top_k`.
        calls: the tools that the model calls, with arguments of the signatures' types. A call
            with an `error` is not run: the model reads the error as its result.
        end: the token that ended the answer, which is not among `logprobs`, if
            log-probabilities were asked for and the engine reports its own.
    """

    value: T
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: FinishReason
    ended: bool
    usage: Usage
    timing: Timing
    prompt: Prompt
    index: int
    engine: str
    call: str
    reasoning: str = ""
    in_thinking: bool = False
    missing: tuple[str, ...] = ()
    end: TokenLogprob | None = None
    calls: tuple[ToolCall, ...] = ()
    tools: Mapping[str, Tool] = field(default_factory=dict[str, "Tool"], repr=False, compare=False)

    async def act(self, *, limit: int | None = None) -> list[ToolResult]:
        """Run what the model calls, side by side; for `said.prompt.tools(results)`.

        What a tool raises is its result, which the model reads; so are wrong arguments, names
        of no tool, calls that were cut off, and calls that need what another call of the same
        answer gives. The run's events name file and line of what a tool raised.

        Args:
            limit: how many tools run at once; None for all.

        Returns:
            a result for each call, in the order of the calls.

        Raises:
            UsageError: there are no calls, or `limit` is no whole number above 0.
            BudgetExceeded: a budget in force is used up.
        """
        if not self.calls:
            raise UsageError("the answer calls no tools; ask `if said.calls` before said.act()")
        if limit is not None and not (type(limit) is int and limit > 0):
            raise UsageError(f"act limit={limit!r} must be a whole number of at least 1")
        from weft.programs.tools.acting import act  # only programs with tools need it

        return await act(self.calls, self.tools, limit=limit, uses=(self.call,))

    @property
    def whole(self) -> bool:
        """Whether the answer is whole: not cut off, in the thinking or later, and not failed."""
        return self.finish_reason == "stop" and not self.in_thinking

    @property
    def mean_logprob(self) -> float | None:
        """Mean log-probability of the tokens; None unless log-probabilities were asked for."""
        if not self.logprobs:
            return None
        return sum(t.logprob for t in self.logprobs) / len(self.logprobs)

    def __str__(self) -> str:
        return self.text


def completion_of(
    scope: Scope, prompt: Prompt, role: str, index: int, outcome: Outcome, use: ToolUse | None
) -> Completion:
    """What a call gave, as its program gets it.

    Args:
        scope: of the call.
        prompt: that was answered.
        role: whose model answered.
        index: which sample of the prompt it is.
        outcome: what the call gave.
        use: the tools that were offered, if any were.
    """
    model = scope.model(role)
    tokens = outcome.tokens if scope.pool.models.takes_tokens(model) else None
    thinking = outcome.thinking
    # What goes back is what the engine produced; to one that takes text, the answer alone.
    text = thinking.text
    back = outcome.text if tokens is not None else text
    # All of it was thinking, where an engine that tells thinking apart had come to no answer.
    silent = bool(outcome.reasoning) and not outcome.text and outcome.finish_reason == "length"
    reasoning = "\n".join(filter(None, (outcome.reasoning, thinking.reasoning)))
    made, calls = use.calls(outcome, prompt, index) if use is not None else ((), ())
    if outcome.spoken is not None:
        text = outcome.spoken
        back = outcome.text  # with the calls, as the model wrote them
    if scope.provenance is not None:
        text = scope.provenance.text(text, outcome.id)
        if reasoning:
            reasoning = scope.provenance.text(reasoning, outcome.id)
    outcome.read = None  # three objects less for each call that a run keeps
    return Completion(
        value=text,
        text=text,
        tokens=outcome.tokens,
        logprobs=outcome.logprobs,
        finish_reason=_finish(outcome),
        ended=outcome.ended,
        usage=outcome.usage,
        timing=outcome.timing,
        prompt=prompt.produced(
            back,
            tokens=tokens,
            model=model,
            call=outcome.id,
            in_thinking=thinking.inside,
            calls=made,
            spoken=outcome.spoken,
        ),
        index=index,
        engine=outcome.engine,
        call=outcome.id,
        reasoning=reasoning,
        in_thinking=thinking.inside or silent,
        missing=outcome.missing,
        end=outcome.end,
        calls=calls,
        tools=use.tools if use is not None else {},
    )


def _finish(outcome: Outcome) -> FinishReason:
    """Why the answer ended: calls of tools read out of a text end it as those that come apart."""
    called = outcome.calls and outcome.finish_reason == "stop"
    return "tool_calls" if called else outcome.finish_reason
