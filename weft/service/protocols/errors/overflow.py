"""Overflow: a prompt that a context has no room for, as engines say it and as clients read it.

Clients act on such an error only if they understand its words: they compact the conversation,
or ask for fewer tokens. Each engine has words of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weft.backends.http.refusals import says_too_long
from weft.errors import ContextExceeded
from weft.service.protocols.errors.error_words import TOO_LONG, ErrorWords

_FORMS = [
    re.compile(form, re.DOTALL | re.IGNORECASE)
    for form in (
        # vLLM, several versions of it, and OpenAI
        r"context length is (?P<context>\d+) tokens.{1,20}you requested (?P<answer>\d+) output "
        r"tokens and your prompt contains (?:at least )?(?P<prompt>\d+) input tokens",
        r"context length is (?P<context>\d+) tokens.{1,20}you requested (?P<answer>\d+) output "
        r"tokens",
        r"context length is (?P<context>\d+) tokens.{1,20}your prompt contains (?:at least )?"
        r"(?P<prompt>\d+) input tokens",
        r"context length is (?P<context>\d+) tokens.{1,20}you requested \d+ tokens "
        r"\((?P<prompt>\d+) in (?:the|your) \w+(?:, \d+ in the functions)?[,;] (?P<answer>\d+) ",
        r"context length is (?P<context>\d+) tokens.{1,20}your messages resulted in "
        r"(?P<prompt>\d+) tokens",
        r"is too large: (?P<answer>\d+)\. This model's maximum context length is "
        r"(?P<context>\d+) tokens and your request has (?P<prompt>\d+) input tokens",
        r"You passed (?P<prompt>\d+) input tokens and requested (?P<answer>\d+) output tokens"
        r".{1,40}context length is only (?P<context>\d+)",
        r"requested (?P<answer>\d+) output tokens.{1,40}context length is only (?P<context>\d+)",
        r"prompt \(length (?P<prompt>\d+)\).{1,90}maximum model length of (?P<context>\d+)",
        r"prompt length (?P<prompt>\d+) exceeds the max_model_len (?P<context>\d+)",
        r"input length \((?P<prompt>\d+)\) exceeds model's maximum context length "
        r"\((?P<context>\d+)\)",
        r"max_\w{0,30}tokens=(?P<answer>\d+) cannot be greater than max_\w{1,30}=(?P<context>\d+)",
        # SGLang
        r"input \((?P<prompt>\d+) tokens\) is longer than the model's context length "
        r"\((?P<context>\d+)",
        r"context length of (?P<context>\d+) tokens.{1,60}: (?P<prompt>\d+) tokens from the input "
        r"messages and (?P<answer>\d+) ",
        # llama.cpp
        r"request \((?P<prompt>\d+) tokens\) exceeds the available context size "
        r"\((?P<context>\d+)",
        r"input length \((?P<prompt>\d+) tokens\) exceeds the maximum allowed length "
        r"\((?P<context>\d+)",
        # text-generation-inference
        r"`inputs` must have less than (?P<context>\d+) tokens\. Given: (?P<prompt>\d+)",
        r"must be <= (?P<context>\d+)\. Given: (?P<prompt>\d+) `inputs` tokens and "
        r"(?P<answer>\d+) ",
        # TensorRT-LLM
        r"prompt length \((?P<prompt>\d+)\).{1,40}max_tokens \((?P<answer>\d+)\) should not exceed "
        r"max_num_tokens \((?P<context>\d+)\)",
        # Mistral, Google, xAI, Fireworks, LM Studio, Qwen, Moonshot
        r"contains (?P<prompt>\d+) tokens.{1,60} (?P<context>\d+) maximum context length",
        r"token count \((?P<prompt>\d+)\) exceeds the maximum number of tokens allowed "
        r"\((?P<context>\d+)\)",
        r"maximum prompt length is (?P<context>\d+) but the request contains (?P<prompt>\d+) "
        r"tokens",
        r"prompt is too long: (?P<prompt>\d+), model maximum context length: (?P<context>\d+)",
        r"loaded with context length of only (?P<context>\d+)",
        r"range of input length should be \[\d+, (?P<context>\d+)\]",
        r"exceeded model token limit: (?P<context>\d+)",
        r"current length is (?P<prompt>\d+) while limit is (?P<context>\d+)",
        r"context length is (?P<context>\d+) tokens.{1,20}you requested about \d+ tokens "
        r"\((?P<prompt>\d+) of text input.{1,60}?(?P<answer>\d+) in the output",
        # Anthropic
        r"prompt is too long: (?P<prompt>\d+) tokens > (?P<context>\d+)",
        r"exceed context limit: (?P<prompt>\d+) \+ (?P<answer>\d+) > (?P<context>\d+)",
        # whoever else
        r"maximum context length (?:is|of) (?P<context>\d+)",
        r"prompt token count of (?P<prompt>\d+) exceeds the limit of (?P<context>\d+)",
        r"tokens in the prompt cannot exceed (?P<context>\d+)",
        r"request body too large for .{1,80}max size: (?P<context>\d+) tokens",
    )
]
_NUMBERS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        r"(?P<prompt>\d+)[^\d.]{1,60}(?:exceed|too|longer|larger|greater|more|>)[^\d.]{1,60}"
        r"(?P<context>\d+)",
        r"\((?P<prompt>\d+) > (?P<context>\d+)\)",
        r"(?:limit|maximum|max_length|allowed|at most)(?: is| of|:)? (?P<context>\d{3,})",
    )
]
"""Numbers in words that are known for nothing but that the prompt is too long."""
_CODES = (
    TOO_LONG,
    "model_max_prompt_tokens_exceeded",
    "tokens_limit_reached",
    "exceed_context_size_error",
)
"""Codes and types that say it."""
_STATUSES = (400, 413, 422, 500)
_LOOKED_AT = 4000  # characters of a message: behind them engines quote what the client sent


@dataclass(frozen=True, slots=True)
class Overflow:
    """A prompt that does not fit. Numbers are tokens; None where nobody has said.

    Attributes:
        prompt: that the prompt has, at least.
        context: that the context holds.
        answer: that the request asks for in the answer, if that is why it does not fit.
        more: whether the prompt may have more than was said.
    """

    prompt: int | None
    context: int | None
    answer: int | None = None
    more: bool = False

    @property
    def answer_alone(self) -> bool:
        """Whether the answer is too long however short the prompt is."""
        return self.prompt is None and (self.answer or 0) > (self.context or 0)

    @classmethod
    def read(cls, words: ErrorWords) -> Overflow | None:
        """The overflow that an engine's error tells of, if it tells of one."""
        if words.status not in _STATUSES:
            return None
        message = words.message[:_LOOKED_AT]
        if over := cls._found(_FORMS, message):
            return over
        said = words.code in _CODES or words.kind in _CODES or says_too_long(words.status, message)
        return (cls._found(_NUMBERS, message) or cls(None, None)) if said else None

    @classmethod
    def _found(cls, forms: Sequence[re.Pattern[str]], message: str) -> Overflow | None:
        """The overflow that a message tells of in one of these forms."""
        for form in forms:
            if found := form.search(message):
                said = {name: int(number) for name, number in found.groupdict().items() if number}
                prompt, context, answer = map(said.get, ("prompt", "context", "answer"))
                return cls(prompt, context, answer, "at least" in message)
        return None

    @classmethod
    def of(cls, error: ContextExceeded) -> Overflow:
        """The overflow that an error of weft's own is."""
        return cls(error.prompt, error.context)

    def with_known(self, context: int | None, estimate: int, limit: int | None) -> Overflow:
        """The same, with numbers of weft's own where the engine says no more than that.

        Args:
            context: tokens that the engine's context holds; None if it has not said.
            estimate: tokens that the prompt probably has.
            limit: that the request asks for in the answer; None if it has none.
        """
        if self.context is not None or context is None:
            return self
        prompt = self.prompt if self.prompt is not None else estimate
        if limit is not None and prompt < context < prompt + limit:
            return Overflow(prompt, context, limit)
        return Overflow(self.prompt, context, self.answer, self.more)

    def anthropic(self, message: str, estimate: int) -> str:
        """The words that Anthropic's clients read.

        Args:
            message: what was said at first.
            estimate: tokens that the prompt probably has.
        """
        if self.context is None:
            return f"prompt is too long: {message}"
        prompt = self.prompt or 0
        if (self.prompt is None or self.more) and estimate < self.context:
            prompt = max(prompt, estimate)
        if self.answer is not None and prompt < self.context:
            prompt = max(prompt, self.context + 1 - self.answer)
            return (
                f"input length and `max_tokens` exceed context limit: {prompt} + {self.answer} > "
                f"{self.context}, decrease input length or `max_tokens` and try again"
            )
        # A prompt that fills the context leaves no room for an answer, and is too long as well.
        prompt = self.prompt or max(estimate, self.context + 1)
        return f"prompt is too long: {prompt} tokens > {min(self.context, prompt - 1)} maximum"
