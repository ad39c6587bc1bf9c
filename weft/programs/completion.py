"""Completion: what one call to `generate` gave."""

from __future__ import annotations

from dataclasses import dataclass

from weft.programs.prompt import Prompt
from weft.types import FinishReason, Timing, TokenLogprob, Usage


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, or the next piece of an open one.

    Attributes:
        text: what was generated; a matched stop string is its end.
        tokens: its ids, from engines that report them.
        logprobs: one for each token, where asked.
        finish_reason: `stop` (the model ended, or a stop string matched) or `length`.
        ended: the model itself ended its answer; there is nothing to continue.
        usage: tokens of this call.
        timing: seconds queued, to the first token, and in all.
        prompt: the Prompt extended by this text, open.
        index: which sample of this Prompt it is.
        engine: name of the engine that ran it.
        call: the call's id in its run.
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

    @property
    def mean_logprob(self) -> float | None:
        """Mean log-probability of the tokens; None unless log-probabilities were asked for."""
        if not self.logprobs:
            return None
        return sum(t.logprob for t in self.logprobs) / len(self.logprobs)

    def __str__(self) -> str:
        return self.text
