"""Bodies as questions: what is read, what is refused, and what counts as a text's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.search.readers import parse_reader
from weft.search.readers.writing.stated import boxed
from weft.service.strategies.question import (
    VERIFY,
    cut,
    question_of,
)
from weft.service.strategies.request import CHAT, EXTRA, NEUTRAL, RESPONSES, SETTINGS, read
from weft.types import Message

HELLO = {"role": "user", "content": "hello"}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HELLO], **fields}


def test_a_chat_is_read() -> None:
    asked = read(
        {
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]},
                {"role": "assistant", "content": "c"},
                HELLO,
            ],
            "max_completion_tokens": 7,
            "max_tokens": 9,
            "temperature": 1,
            "top_p": 0.5,
            "stop": "END",
            "seed": 3,
            "n": 1,
            "logprobs": False,
            "tools": [],
            "user": "somebody",
            "stream_options": {"include_usage": True},
        },
        CHAT,
    )
    assert asked.prompt.messages == (
        Message("system", "be brief"),
        Message("user", "a\nb"),
        Message("assistant", "c"),
        Message("user", "hello"),
    )
    assert (asked.max_tokens, asked.temperature, asked.top_p) == (7, 1.0, 0.5)
    assert (asked.stop, asked.seed, asked.schema, asked.usage) == (("END",), 3, None, True)


def test_a_response_is_read() -> None:
    asked = read(
        {
            "instructions": "be brief",
            "input": [
                HELLO,
                {"type": "reasoning", "id": "r", "summary": []},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "a"}],
                },
                {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
            ],
            "max_output_tokens": 5,
            "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        },
        RESPONSES,
    )
    assert [m.content for m in asked.prompt.messages] == ["be brief", "hello", "a", "b"]
    assert (asked.max_tokens, asked.schema) == (5, SCHEMA)
    assert read({"input": "hi"}, RESPONSES).prompt.messages == (Message("user", "hi"),)


def test_further_settings_go_to_the_calls() -> None:
    numbers = {"top_k": 20, "min_p": 0.1, "presence_penalty": 1, "frequency_penalty": 0}
    off = {"chat_template_kwargs": {"enable_thinking": False}, "logit_bias": {}}
    asked = read(chat(**numbers, **off, repetition_penalty=None, reasoning_effort="low"), CHAT)
    assert question_of(asked).sampling == {
        **numbers,
        "reasoning_effort": "low",
        "extra": {"chat_template_kwargs": {"enable_thinking": False}},
    }
    assert question_of(read(chat(), CHAT)).sampling == {}
    response = read({"input": "hi", "reasoning": {"effort": "high"}, "top_k": 3}, RESPONSES)
    assert response.sampling == {"reasoning_effort": "high", "top_k": 3}


def test_formats_of_chat() -> None:
    named = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    assert read(chat(response_format=named), CHAT).schema == SCHEMA
    assert read(chat(response_format={"type": "json_object"}), CHAT).schema == {"type": "object"}
    assert read(chat(response_format={"type": "text"}), CHAT).schema is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tools": [{"type": "function"}]}, "tools can't be used"),
        ({"n": 2}, "n can't be used"),
        ({"logprobs": True}, "logprobs can't be used"),
        ({"min_tokens": 5}, "min_tokens can't"),
        ({"presence_penalty": 5}, "presence_penalty=5 must be from -2 to 2"),
        ({"top_k": 0.5}, "top_k=0.5 must be a whole number"),
        ({"min_p": "x"}, "min_p='x' must be a number"),
        ({"reasoning_effort": 3}, "reasoning_effort=3 must be a name"),
        ({"chat_template_kwargs": [1]}, "chat_template_kwargs must be an object"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"max_tokens": True}, "max_tokens must be a whole number"),
        ({"temperature": 3}, "temperature must be a number from 0 to 2"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"top_p": 0}, "top_p must be above 0"),
        ({"stop": [""]}, "stop must hold texts"),
        ({"stop": {}}, None),
        ({"stop": 5}, "stop must be a text"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"response_format": {"type": "grammar"}}, "format of type 'grammar'"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema must have"),
        ({"response_format": "json"}, "response_format must be an object"),
        ({"stream_options": 1}, "stream_options must be an object"),
        ({"messages": []}, "messages must be a list"),
        ({"messages": "hello"}, "messages must be a list"),
        ({"messages": ["hello"]}, r"messages\[0\] must be an object"),
        ({"messages": [{"role": "pope", "content": ""}]}, r"role of messages\[0\]"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\].content must be a text"),
        ({"messages": [{"role": "tool", "content": "x"}]}, r"messages\[0\] uses a tool"),
        (
            {"messages": [HELLO, {"role": "assistant", "content": None, "tool_calls": [{}]}]},
            r"messages\[1\] uses a tool",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            r"messages\[0\].content\[0\] is of type 'image_url'",
        ),
    ],
)
def test_what_a_strategy_cannot_do_is_refused(fields: dict[str, Any], says: str | None) -> None:
    if says is None:
        assert read(chat(**fields), CHAT).stop == ()
        return
    with pytest.raises(UsageError, match=says) as refused:
        read(chat(**fields), CHAT)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "input must be a text"),
        ({"input": "a", "instructions": []}, "instructions must be a text"),
        ({"input": [{"type": "function_call", "name": "f"}]}, r"input\[0\] is of type 'function_"),
        ({"input": ["a"]}, r"input\[0\] must be an object"),
        ({"input": "a", "previous_response_id": "resp_1"}, "previous_response_id can't"),
        ({"input": "a", "background": True}, "background can't"),
        ({"input": "a", "text": {"format": {"type": "json_schema"}}}, "text.format must have"),
    ],
)
def test_refused_responses(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(fields, RESPONSES)


def test_other_endpoints_are_refused() -> None:
    with pytest.raises(UsageError, match="not at /v1/messages"):
        read(chat(), "/v1/messages")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{1} and then \boxed{\frac{1}{2}}", "0.5"),
        (r"\boxed{open", r"\boxed{open"),
        ("Answer: 1\nno wait\n**Final answer:** Paris.\n", "paris"),
        ("> The answer: $5$", "5"),
        ("Answer: -5", "-5"),
        ("answer:\nyes", "yes"),
        ("  It is\n two. ", "it is two"),
        ("<think>Answer: 1</think>Answer: 2", "2"),
        ("<think>Answer: 1", None),
        ("", None),
        (" ** ", None),
    ],
)
def test_answers_of_texts(text: str, answer: str | None) -> None:
    assert parse_reader("final")(text) == answer


@given(st.text(), st.text("{}a\\", max_size=8))
def test_what_is_boxed_is_read_back(before: str, inside: str) -> None:
    depth = [inside[:i].count("{") - inside[:i].count("}") for i in range(len(inside) + 1)]
    if min(depth) < 0 or depth[-1]:
        return
    assert boxed(f"{before}\\boxed{{{inside}}} after") == inside


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.integers(0, 3))
def test_equal_json_is_one_answer(value: Any, indent: int) -> None:
    written = json.dumps(value, indent=indent)
    assert parse_reader("json")(written) == parse_reader("json")(
        f"<think>?</think>{json.dumps(value)}\n"
    )
    assert json.loads(parse_reader("json")(written) or "") == value


FIELDS = [
    *("messages", "input", "instructions", "stop", "seed", "max_tokens", "max_output_tokens"),
    *("temperature", "top_p", "response_format", "text", "stream_options", "tools"),
    *NEUTRAL,
    *SETTINGS,
    *EXTRA,
]
PARTS = st.dictionaries(
    st.sampled_from(["role", "content", "type", "text", "format", "schema", "json_schema"]),
    st.sampled_from(["user", "text", "message", "json_schema", "assistant"]) | JSON,
    max_size=4,
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON | PARTS | st.lists(PARTS, max_size=3)),
    st.sampled_from([CHAT, RESPONSES]),
)
def test_any_body_is_read_or_refused_in_a_sentence(body: dict[str, Any], path: str) -> None:
    refusal = ""
    try:
        assert question_of(read(body, path)).prompt.messages
    except UsageError as error:
        refusal = str(error)
    assert len(refusal) < 200


def test_json_in_other_orders_and_numbers() -> None:
    assert (
        parse_reader("json")('{"b": 1.0, "a": 2}')
        == parse_reader("json")('{"a": 2, "b": 1}')
        == '{"a":2,"b":1}'
    )
    assert parse_reader("json")("{") is None
    assert parse_reader("json")("[" * 100_000) is None
    assert parse_reader("json")("<think>{}") is None


def test_the_question_of_a_request() -> None:
    asked = read(chat(stop=["END", "THE END"], seed=4, max_tokens=9, top_p=0.3), CHAT)
    question = question_of(asked)
    assert (question.seed, question.max_tokens, question.top_p) == (4, 9, 0.3)
    assert question.answer("Answer: 3 THE END") == "3"
    assert cut("a THE END", asked.stop) == "a "
    assert question.verify is not None
    judged = question.verify("<think>hm</think> two END")
    assert judged.messages == (
        Message("user", "hello"),
        Message("assistant", "two"),
        Message("user", VERIFY),
    )
    assert question.verify("<think>hm").messages[1].content == "<think>hm"
    unseeded = {question_of(read(chat(), CHAT)).seed for _ in range(8)}
    assert len(unseeded) > 1
