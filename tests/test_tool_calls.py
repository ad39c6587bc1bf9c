"""Calls of tools in the texts of several families of models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.tool_calls import read_calls
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
    "scripted": ('I look.\x02read\x03{"path": "a"}', ("I look.", (READ,))),
    "no call": ("The <b>tool</b> call.", ("The <b>tool</b> call.", ())),
    "JSON that is no call": ('{"name": "Ada", "age": 3}', ('{"name": "Ada", "age": 3}', ())),
    "JSON that breaks off": ('{"na', ('{"na', ())),
}


@pytest.mark.parametrize(("text", "read"), TEXTS.values(), ids=TEXTS)
def test_calls_and_what_is_said_besides(text: str, read: object):
    assert read_calls(text, ["read", "add"]) == read


@given(st.text(alphabet='<tool_call>/{}"[TOOL_CALLS]name:;,|python\x02\x03 \n', max_size=60))
def test_any_text_is_read(text: str):
    said, calls = read_calls(text, ["name"])
    assert isinstance(said, str)
    assert all(isinstance(one.arguments, str) for one in calls)
