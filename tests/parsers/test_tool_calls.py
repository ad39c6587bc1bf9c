"""Calls of tools in the texts of several families of models."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.parsers.thinking import Thinking
from weft.parsers.tool_calls import read_calls
from weft.parsers.tool_calls.streamed import AnswerBeforeCalls
from weft.types import ToolCall

READ = ToolCall("read", '{"path": "a"}')
TWO = (READ, ToolCall("add", '{"a": 1}'))
HERMES = '<tool_call>\n{"name": "read", "arguments": {"path": "a"}}\n</tool_call>'
TEXTS = {
    "hermes": ("I look.\n" + HERMES, ("I look.", (READ,))),
    "hermes, two": (
        HERMES + '\n<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>',
        ("", TWO),
    ),
    "hermes, without its end": (HERMES.removesuffix("\n</tool_call>"), ("", (READ,))),
    "hermes, cut off": (
        '<tool_call>\n{"name": "read", "arguments": {"pa',
        ("", (ToolCall("read", '{"name": "read", "arguments": {"pa'),)),
    ),
    "hermes, no arguments": (
        '<tool_call>{"name": "read"}</tool_call>',
        ("", (ToolCall("read", "{}"),)),
    ),
    "llama": ('{"name": "read", "parameters": {"path": "a"}}', ("", (READ,))),
    "llama, two": (
        '<|python_tag|>{"name": "read", "parameters": {"path": "a"}}; '
        '{"name": "add", "parameters": {"a": 1}}<|eom_id|>',
        ("", TWO),
    ),
    "llama, text before": (
        'I look.<|python_tag|>{"name": "read", "parameters": {"path": "a"}}',
        ("I look.", (READ,)),
    ),
    "mistral": (
        'I look. [TOOL_CALLS][{"name": "read", "arguments": {"path": "a"}, "id": "abcdefghi"}]',
        ("I look.", (ToolCall("read", '{"path": "a"}', "abcdefghi"),)),
    ),
    "mistral, newer": (
        '[TOOL_CALLS]read{"path": "a"}[TOOL_CALLS]add[CALL_ID]x1[ARGS]{"a": 1}',
        ("", (READ, ToolCall("add", '{"a": 1}', "x1"))),
    ),
    "qwen coder": (
        "I look.\n<tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n"
        "</tool_call>\n<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n"
        "</tool_call>",
        ("I look.", TWO),
    ),
    "qwen coder, without the outer tag": (
        "I look. <function=read>\n<parameter=path>a</parameter>\n</function>",
        ("I look.", (READ,)),
    ),
    "qwen coder, without the parameter's end": (
        "<tool_call><function=read>\n<parameter=path>\na\n</function></tool_call>",
        ("", (READ,)),
    ),
    "qwen coder, cut off": (
        "<tool_call>\n<function=read>\n<parameter=path>\na",
        ("", (ToolCall("read", "<parameter=path>\na"),)),
    ),
    "qwen coder, cut off behind a parameter": (
        "<tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n",
        ("", (ToolCall("read", "<parameter=path>\na\n</parameter>"),)),
    ),
    "qwen coder, no call": ("Write <function=f> in C.", ("Write <function=f> in C.", ())),
    "glm": (
        "I look.\n<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a</arg_value>\n</tool_call>"
        "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
        ("I look.", TWO),
    ),
    "glm, no arguments": (
        "<tool_call>read</tool_call>",
        ("", (ToolCall("read", "{}"),)),
    ),
    "glm, cut off": (
        "<tool_call>read\n<arg_key>path</arg_key>\n<arg_value>a",
        ("", (ToolCall("read", "<arg_key>path</arg_key>\n<arg_value>a"),)),
    ),
    "tags around nothing that is a call": (
        "<tool_call>let me read</tool_call>",
        ("", (ToolCall("", "let me read"),)),
    ),
    "gpt-oss": (
        '<|channel|>commentary to=functions.read <|constrain|>json<|message|>{"path": "a"}<|call|>',
        ("", (READ,)),
    ),
    "gpt-oss, the recipient behind the role": (
        "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.read"
        '<|channel|>commentary json<|message|>{"path": "a"}',
        ("I look.", (READ,)),
    ),
    "gpt-oss, without special tokens": (
        'commentary to=functions.read json{"path": "a"}',
        ("", (READ,)),
    ),
    "gpt-oss, cut off": (
        '<|channel|>commentary to=functions.read <|constrain|>json<|message|>{"pa',
        ("", (ToolCall("read", '{"pa'),)),
    ),
    "gpt-oss, cut off before the arguments": (
        "<|channel|>commentary to=functions.re",
        ("", (ToolCall("re", "<|channel|>commentary to=functions.re"),)),
    ),
    "words about recipients": ("Set to=functions.x.", ("Set to=functions.x.", ())),
    "scripted": ('I look.\x02read\x03{"path": "a"}', ("I look.", (READ,))),
    "no call": ("The <b>tool</b> call.", ("The <b>tool</b> call.", ())),
    "JSON that is no call": ('{"name": "Ada", "age": 3}', ('{"name": "Ada", "age": 3}', ())),
    "JSON that breaks off": ('{"na', ('{"na', ())),
}


@pytest.mark.parametrize(("text", "read"), TEXTS.values(), ids=TEXTS)
def test_calls_and_what_is_said_besides(text: str, read: object):
    said, calls = read_calls(text, {"read": {}, "add": {"properties": {"a": {"type": "integer"}}}})
    assert (said, calls) == read


SCHEMA: dict[str, Any] = {
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "number"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "list": {"type": "array", "items": {"type": "integer"}},
        "point": {"$ref": "#/$defs/Point"},
        "kind": {"enum": ["1", "2"]},
        "flag": {"type": "boolean"},
    },
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer"}}}},
}
VALUES = {"text": "5", "maybe": None, "list": [1, 2], "point": {"x": 1}, "kind": "1", "flag": True}
WRITTEN = {"text": "5", "maybe": "null", "list": "[1, 2]", "point": '{"x": 1}', "kind": "1"}


def test_values_without_quotes_are_what_the_schema_says():
    written = WRITTEN | {"flag": "True", "number": "NaN", "other": "7"}
    qwen = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in written.items())
    glm = "".join(f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>" for k, v in written.items())
    for inside in (f"<function=f>\n{qwen}</function>", f"f\n{glm}"):
        _, (call,) = read_calls(f"<tool_call>{inside}</tool_call>", {"f": SCHEMA})
        assert json.loads(call.text) == VALUES | {"number": "NaN", "other": 7}


def test_a_text_keeps_its_lines_and_spaces():
    text = "  def f():\n    return '<b>'\n"
    inside = f"<function=f>\n<parameter=text>\n{text}\n</parameter>\n</function>"
    _, (call,) = read_calls(f"<tool_call>\n{inside}\n</tool_call>", {"f": SCHEMA})
    assert json.loads(call.text) == {"text": text}


def pieces(text: str, cuts: list[int]) -> list[str]:
    """A text, cut anywhere."""
    at = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(at)]


@given(
    st.sampled_from([text for text, _ in TEXTS.values()]),
    st.lists(st.integers(0, 999), max_size=12),
)
def test_what_is_given_of_an_answer_is_sure_wherever_it_is_cut(text: str, cuts: list[int]):
    reader = AnswerBeforeCalls()
    given_so_far = "".join(map(reader.feed, pieces(text, cuts)))
    said, calls = read_calls(text, ["read", "add"])
    assert said.lstrip().startswith(given_so_far)
    if not calls and not text.startswith("{"):
        assert len(given_so_far) >= text.find("<") - 1  # it comes as it is written


THOUGHT = "<|channel|>analysis<|message|>I need a.<|end|>"
CALLS = (
    "<|start|>assistant<|channel|>commentary to=functions.read <|constrain|>json<|message|>",
    "<|start|>assistant to=functions.read<|channel|>commentary json<|message|>",
)


@pytest.mark.parametrize("call", CALLS)
@given(st.lists(st.integers(0, 999), max_size=12))
def test_a_call_in_a_channel_ends_the_thinking_before_it(call: str, cuts: list[int]):
    thinking = Thinking()
    told = "".join(map(thinking.feed, pieces(THOUGHT + call + '{"path": "a"}<|call|>', cuts)))
    assert thinking.reasoning == "I need a."
    assert not thinking.inside
    assert not thinking.unopened
    assert told == thinking.text
    assert read_calls(thinking.text, ["read"]) == ("", (READ,))


def test_a_call_without_special_tokens_ends_the_thinking_before_it():
    thinking = Thinking()
    thinking.feed('analysisI need a.assistantcommentary to=functions.read json{"path": "a"}')
    assert thinking.reasoning == "I need a."
    assert read_calls(thinking.text, ["read"]) == ("", (READ,))


BITS = [
    *("<tool_call>", "</tool_call>", "<function=", "<parameter=", "</parameter>", "</function>"),
    *("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "[TOOL_CALLS]", "<|python_tag|>"),
    *("<|channel|>", "<|start|>", "<|message|>", "<|call|>", "assistant", "commentary", "json"),
    *(
        " to=functions.",
        "name",
        "<",
        ">",
        "/",
        "{",
        "}",
        '"',
        "[",
        "]",
        ":",
        "\n",
        " ",
        "\x02",
        "5",
    ),
]


@given(st.lists(st.sampled_from(BITS), max_size=30), st.lists(st.integers(0, 999), max_size=5))
def test_any_text_is_read(bits: list[str], cuts: list[int]):
    text = "".join(bits)
    said, calls = read_calls(text, ["name"])
    reader = AnswerBeforeCalls()
    assert said.lstrip().startswith("".join(map(reader.feed, pieces(text, cuts))))
    assert isinstance(said, str)
    assert all(isinstance(one.arguments, str) for one in calls)
