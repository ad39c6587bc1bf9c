"""Completion: what one call to `generate` gave."""

from __future__ import annotations

from dataclasses import dataclass

from weft.programs.prompt import Prompt
from weft.types import FinishReason, Timing, TokenLogprob, Usage


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, or the next piece of an open one.

    Attributes:
        text: the answer: what its tokens say, up to the last whole character. The rest of one
            that was cut off comes with the answer that goes on. A matched stop string is part
            of it, with what its last token says behind it. Thinking is not in it.
        tokens: the ids of all that was generated, from engines that report them.
        logprobs: one for each token, where asked.
        finish_reason: `stop` (the model ended, or a stop string matched), `length`, or what
            else an engine says, such as `content_filter` (see `FinishReason`).
        ended: the model itself ended its answer; there is nothing to continue.
        usage: tokens of this call.
        timing: seconds queued, to the first token, and in all.
        prompt: the Prompt extended by this text, open.
        index: which sample of this Prompt it is.
        engine: name of the engine that ran it.
        call: the call's id in its run.
        reasoning: what the model thought before, where it shows that.
        in_thinking: whether it ends within the thinking, so that there is no answer yet.
        missing: what was asked for and is not there: `logprobs`; `top_logprobs` (fewer
            alternatives than asked for); `usage`, which is an estimate then;
            `finish_reason`; `schema`, which the model was then told in words; or a setting
            that the engine does not know, such as `top_k`.
    """

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

    @property
    def whole(self) -> bool:
        """Whether it is a whole answer: neither cut off, in thinking or behind, nor failed."""
        return self.finish_reason == "stop" and not self.in_thinking

    @property
    def mean_logprob(self) -> float | None:
        """Mean log-probability of the tokens; None unless log-probabilities were asked for."""
        if not self.logprobs:
            return None
        return sum(t.logprob for t in self.logprobs) / len(self.logprobs)

    def __str__(self) -> str:
        return self.text
