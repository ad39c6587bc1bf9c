"""What engines say of prompts that don't fit, and what clients are told of it."""

from __future__ import annotations

import re

import pytest

from weft.errors import ContextExceeded
from weft.service.protocols import PROTOCOLS
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.errors.overflow import Overflow

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
LIMIT = "This model's maximum context length is 32768 tokens. However, "

TOO_LONG = [  # the prompt alone
    LIMIT + "your prompt contains 40000 input tokens, which exceeds this limit even without any "
    "output tokens. Please reduce the length of the input prompt.",
    LIMIT + "your messages resulted in 40000 tokens. Please reduce the length of the messages.",
    "The decoder prompt (length 40000) is longer than the maximum model length of 32768. Make "
    "sure that `max_model_len` is no smaller than the number of text tokens.",
    "The engine prompt length 40000 exceeds the max_model_len 32768. Please reduce prompt.",
    "Input length (40000) exceeds model's maximum context length (32768).",
    "The input (40000 tokens) is longer than the model's context length (32768 tokens).",
    "request (40000 tokens) exceeds the available context size (32768 tokens), try increasing it",
    "prompt is too long: 40000 tokens > 32768 maximum",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum "
    "context length",
    "The input token count (40000) exceeds the maximum number of tokens allowed (32768).",
    "This model's maximum prompt length is 32768 but the request contains 40000 tokens.",
    "The prompt is too long: 40000, model maximum context length: 32768",
    "Input length (40000 tokens) exceeds the maximum allowed length (32768 tokens). Use a shorter "
    "input or enable --allow-auto-truncate.",
    "Input validation error: `inputs` must have less than 32768 tokens. Given: 40000",
    "Token count of 40000 exceeds model's limit of 32768",
    "Please reduce the length of the messages or completion. Current length is 40000 while limit "
    "is 32768",
    "Token indices sequence length is longer than the specified maximum sequence length for this "
    "model (40000 > 32768).",
]
WITH_ANSWER = [  # the prompt and the answer that was asked for
    LIMIT + "you requested 20000 output tokens and your prompt contains 25000 input tokens, for a "
    "total of 45000 tokens. Please reduce the length of the input prompt or the number of "
    "requested output tokens.",
    LIMIT + "you requested 45000 tokens (25000 in the messages, 20000 in the completion). Please "
    "reduce the length of the messages or completion.",
    "'max_tokens' or 'max_completion_tokens' is too large: 20000. This model's maximum context "
    "length is 32768 tokens and your request has 25000 input tokens (20000 > 32768 - 25000).",
    "You passed 25000 input tokens and requested 20000 output tokens. However, the model's context "
    "length is only 32768 tokens, resulting in a maximum input length of 12768 tokens.",
    "Requested token count exceeds the model's maximum context length of 32768 tokens. You "
    "requested a total of 45000 tokens: 25000 tokens from the input messages and 20000 tokens for "
    "the completion. Please reduce the number of tokens.",
    "`inputs` tokens + `max_new_tokens` must be <= 32768. Given: 25000 `inputs` tokens and 20000 "
    "`max_new_tokens`",
    "The sum of prompt length (25000), query length (0) and max_tokens (20000) should not exceed "
    "max_num_tokens (32768)",
    "This endpoint's maximum context length is 32768 tokens. However, you requested about 45000 "
    "tokens (25000 of text input, 0 of tool input, 20000 in the output). Please reduce the length.",
    "input length and `max_tokens` exceed context limit: 25000 + 20000 > 32768, decrease input "
    "length or `max_tokens` and try again",
]
# As Claude Code reads them.
ALONE = re.compile(r"prompt is too long[^0-9]*(\d+)\s*tokens?\s*>\s*(\d+)", re.IGNORECASE)
BOTH = re.compile(r"input length and `max_tokens` exceed context limit: (\d+) \+ (\d+) > (\d+)")


def told(path: str, message: str, estimate: int = 0, status: int = 400) -> ErrorWords:
    words = ErrorWords(status, message, "", 400, "input_tokens")
    over = Overflow.read(words)
    assert over is not None
    return PROTOCOLS[path].overflow(words, over, estimate)


@pytest.mark.parametrize("message", TOO_LONG)
def test_a_prompt_that_is_too_long(message: str) -> None:
    found = ALONE.search(told(MESSAGES, message).message)
    assert found is not None
    assert (found[1], found[2]) == ("40000", "32768")


@pytest.mark.parametrize("message", WITH_ANSWER)
@pytest.mark.parametrize("estimate", [0, 26_000, 60_000])
def test_a_prompt_with_too_long_an_answer(message: str, estimate: int) -> None:
    found = BOTH.search(told(MESSAGES, message, estimate).message)
    assert found is not None
    assert found.groups() == ("25000", "20000", "32768")  # engines count, we only estimate


@pytest.mark.parametrize("message", TOO_LONG + WITH_ANSWER)
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
def test_elsewhere_the_words_stay_and_a_code_comes(path: str, message: str) -> None:
    words = told(path, message, status=413)
    assert words.message == message
    assert (words.status, words.code) == (400, "context_length_exceeded")
    assert (words.kind, words.param) == ("invalid_request_error", "input_tokens")


def test_where_the_engine_stopped_counting_the_estimate_is_used_if_it_can_be_right() -> None:
    message = (
        LIMIT + "you requested 20000 output tokens and your prompt contains at least 12769 "
        "input tokens, for a total of at least 32769 tokens."
    )
    for estimate, said in ((0, 12_769), (25_000, 25_000), (50_000, 12_769)):
        found = BOTH.search(told(MESSAGES, message, estimate).message)
        assert found is not None
        assert int(found[1]) == said
    message = LIMIT + "your prompt contains 400000 characters (more than 300000 characters)."
    for estimate, said in ((90_000, 90_000), (1000, 32_769)):
        found = ALONE.search(told(MESSAGES, message, estimate).message)
        assert found is not None
        assert (int(found[1]), int(found[2])) == (said, 32_768)


def test_an_answer_that_is_longer_than_the_context() -> None:
    message = "max_tokens=64000 cannot be greater than max_model_len=32768."
    found = BOTH.search(told(MESSAGES, message, 5000).message)
    assert found is not None
    assert found.groups() == ("5000", "64000", "32768")
    words = told(CHAT, message)  # no prompt is short enough: that must not look so
    assert words.code == 400


def test_a_prompt_that_fills_the_context() -> None:
    message = (
        "The decoder prompt (length 4096) plus the number of requested output tokens (at least 1) "
        "is longer than the maximum model length of 4096."
    )
    found = ALONE.search(told(MESSAGES, message).message)
    assert found is not None
    assert int(found[1]) > int(found[2])


@pytest.mark.parametrize(
    "message",
    [
        "Your input exceeds the context window of this model.",
        "the request exceeds the available context size, try increasing it",
        "Input is too long for requested model.",
        "prompt too long; exceeded max context length by 9 tokens",
        "the input length exceeds the context length",
        "Prompt exceeds max length",
        "Token count exceeds model's limit",
        "prompt is too large",
        "Please reduce the length of the messages or completion.",
        "context window exceeds limit (2013)",
        "expected maxLength: 20000, actual: 25000, please reformat your input",
        "The number of tokens to keep from the initial prompt is greater than the context length.",
    ],
)
def test_words_without_numbers(message: str) -> None:
    assert told(MESSAGES, message).message == f"prompt is too long: {message}"
    assert told(CHAT, message).code == "context_length_exceeded"


def test_words_with_the_context_alone() -> None:
    found = ALONE.search(told(MESSAGES, "max_length is 32768", 40_000).message)
    assert found is not None
    assert found.groups() == ("40000", "32768")


@pytest.mark.parametrize(
    "message",
    [
        "no such thing",
        "max_tokens must be at least 1, got 0",
        "model not found",
        "image is too large: 30000000 bytes exceeds the limit of 20000000",
        "string too long. Expected a string with maximum length 64, but got one with length 70.",
    ],
)
def test_other_words_are_no_overflow(message: str) -> None:
    assert Overflow.read(ErrorWords(400, message)) is None
    assert Overflow.read(ErrorWords(404, TOO_LONG[0])) is None
    assert Overflow.read(ErrorWords(500, "the KV cache of max_seq_len can't be allocated")) is None
    for said in ("Range of input length should be [1, 9]", "exceeded model token limit: 9"):
        assert Overflow.read(ErrorWords(400, said)) == Overflow(None, 9)
    late = Overflow.read(ErrorWords(500, "the request exceeds the available context size"))
    assert late == Overflow(None, None)


def test_what_weft_itself_refuses() -> None:
    over = Overflow.of(ContextExceeded("no room", 5000, 4096))
    said = PROTOCOLS[MESSAGES].overflow(ErrorWords(400, "no room"), over, 5000).message
    assert said == "prompt is too long: 5000 tokens > 4096 maximum"
    words = PROTOCOLS[CHAT].overflow(ErrorWords(400, "no room"), over, 5000)
    assert (words.message, words.code) == ("no room", "context_length_exceeded")


@pytest.mark.parametrize("quoted", ["max_" * 50_000, "max_a" * 40_000 + "tokens", "1" * 200_000])
def test_what_an_engine_quotes_of_a_request_costs_nothing_to_look_at(quoted: str) -> None:
    assert Overflow.read(ErrorWords(400, f"Input should be a valid list: {quoted}")) is None
    said = "prompt is too long: 40000 tokens > 32768 maximum"
    assert Overflow.read(ErrorWords(400, f"{said}: {quoted}")) == Overflow(40000, 32768)
