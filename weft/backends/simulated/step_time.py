"""How long the steps of an engine take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What a step computes (see `Hardware.step_seconds`), and how often it may be repeated.

    Attributes:
        repeats: steps until something but lengths changes, if nobody comes or leaves.
    """

    prefill: int
    attended: int
    decodes: int
    context: int
    prompts: int
    repeats: int


class Hardware(ABC):
    """Tells how long a step of continuous batching takes, and how much KV cache there is.

    Attributes:
        name: for people.
        kv_tokens: tokens that the KV cache holds.
    """

    name: str
    kv_tokens: int

    @abstractmethod
    def step_seconds(
        self, prefill: int, attended: int, decodes: int, context: int, prompts: int = 1
    ) -> float:
        """Seconds of one step.

        Args:
            prefill: prompt tokens computed.
            attended: pairs of a token computed and a token that it attends to: a chunk of p
                prompt tokens behind c others has p c + p (p + 1) / 2 of them, a decoding
                sequence as many as its length.
            decodes: sequences that get one more token.
            context: tokens of KV cache read: the lengths of all sequences in the step.
            prompts: how many sequences the prompt tokens belong to.
        """

    @abstractmethod
    def decode_seconds(self, decodes: int, context: int, steps: int) -> float:
        """Seconds of `steps` steps of `decodes` sequences and nothing else, in closed form.

        Args:
            decodes: sequences.
            context: the sum of their lengths in the first step; each grows by 1 a step.
            steps: how many.
        """


@dataclass(frozen=True, slots=True)
class Linear(Hardware):
    """A step costs a constant, and so much for each thing in it.

    Attributes:
        name: for people.
        kv_tokens: tokens that the KV cache holds.
        fixed: seconds of every step.
        prefill_token: seconds for each prompt token computed.
        prompt: seconds for each sequence with prompt tokens in the step.
        decode: seconds for each sequence that gets a token.
        context_token: seconds for each token of context that is read.
        pair: seconds for each pair of a token computed and a token that it attends to.
    """

    name: str = "linear"
    kv_tokens: int = 1_000_000
    fixed: float = 0.0
    prefill_token: float = 0.0
    prompt: float = 0.0
    decode: float = 0.0
    context_token: float = 0.0
    pair: float = 0.0

    def step_seconds(
        self, prefill: int, attended: int, decodes: int, context: int, prompts: int = 1
    ) -> float:
        """Seconds of one step."""
        seconds = self.fixed + self.decode * decodes
        seconds += self.context_token * context + self.pair * attended
        return seconds + (self.prefill_token * prefill + self.prompt * prompts if prefill else 0)

    def decode_seconds(self, decodes: int, context: int, steps: int) -> float:
        """Seconds of steps of decoding."""
        # A sequence attends to its context: there are as many pairs as tokens that are read.
        context_token = self.context_token + self.pair
        first = self.fixed + self.decode * decodes + context_token * context
        return ramp(first, context_token * decodes, steps)


def ramp(first: float, growth: float, steps: int) -> float:
    """The sum of `first + i * growth` for i below `steps`."""
    return steps * (first + growth * (steps - 1) / 2.0)
