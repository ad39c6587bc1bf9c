"""Calls of tools that a model writes into its text, told from the answer.

Called where answers are read: by programs, engines and doors for others' agents. Each family of
models writes calls in its own way, and the marks in the text tell which: Hermes and Qwen write
`<tool_call>` around JSON, Mistral `[TOOL_CALLS]` before it, Llama 3 JSON alone or behind
`<|python_tag|>`; Qwen3-Coder and GLM write tags (`tagged`), gpt-oss channels (`channels`).
`streamed` tells the answer from the calls while a text comes. To add a family, add a reader to
`_READERS`, and what its calls begin with to `MARKS`. Trades away: a text that speaks of a mark as
the model writes it is read as a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from weft.types import ToolCall

Read = tuple[str, tuple[ToolCall, ...]]
"""The answer without the calls, and the calls."""

CALL, GIVEN = "\x02", "\x03"
"""What a scripted engine writes before the name of a tool, and before the call's arguments."""

MARKS = (
    *(CALL, "<tool_call>", "<function=", "[TOOL_CALLS]", "<|", "to=functions."),
    *("assistant to=", "assistantto=", "assistantcommentary", "assistantanalysis"),
    *("commentary to=", "commentaryto=", "analysis to=", "analysisto="),
)
"""What calls begin with; an answer that is JSON from its beginning may be a call too."""

Offered = Collection[str] | Mapping[str, Mapping[str, Any]]
"""The names of the tools that were offered; or by name, the JSON schemas of their arguments."""

_decoder = json.JSONDecoder(strict=False)


def read_calls(text: str, known: Offered = ()) -> Read:
    """The answer in a text, and the calls that the model wrote into the text.

    A call that can't be read, since it was cut off or is no JSON, has its text as arguments.

    Args:
        text: of an answer, without thinking.
        known: the tools that were offered; the schemas tell numbers from texts where a family
            writes values without quotes.
    """
    for reader in _READERS:
        if (found := reader(text, known)) is not None:
            return found
    return text, ()


def _scripted(text: str, _: Offered) -> Read | None:
    said, *calls = text.split(CALL)
    if not calls:
        return None
    parts = [one.partition(GIVEN) for one in calls]
    return said, tuple([ToolCall(name, arguments) for name, _, arguments in parts])


_HERMES = re.compile(r"<tool_call>(.*?)(</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)


def _hermes(text: str, known: Offered) -> Read | None:
    found = list(_HERMES.finditer(text))
    if not found:
        return None
    calls: list[ToolCall] = []
    for one in found:
        inside = one[1].strip()
        if inside[:1] in ("{", "[", ""):
            calls += _objects(inside)
        else:
            from weft.parsers.tool_calls.tagged import tagged_calls  # few models write tags

            whole = bool(one[2]) or one.end() < len(text)
            calls += tagged_calls(inside, known, whole) or [_broken(inside)]
    return _HERMES.sub("", text).strip(), tuple(calls)


def _functions(text: str, known: Offered) -> Read | None:
    """Calls of Qwen3-Coder whose outer tag is left out."""
    at = text.find("<function=")
    if at < 0:
        return None
    from weft.parsers.tool_calls.tagged import tagged_calls

    calls = tagged_calls(text[at:], known, False)
    named = calls and all(one.name in known for one in calls)
    return (text[:at].strip(), tuple(calls)) if named else None


def _channels(text: str, known: Offered) -> Read | None:
    if "to=functions." not in text:
        return None
    from weft.parsers.tool_calls.channels import channel_calls

    return channel_calls(text, known)


_MISTRAL = "[TOOL_CALLS]"
_NAMED = re.compile(r"\s*([\w.:-]+)\s*(?:\[CALL_ID\]\s*(\w*)\s*)?(?:\[ARGS\])?\s*(?=\{|\Z)")


def _mistral(text: str, _: Offered) -> Read | None:
    said, *parts = text.split(_MISTRAL)
    if not parts:
        return None
    calls: list[ToolCall] = []
    for part in (one.strip() for one in parts):
        named = _NAMED.match(part)
        if named is None:
            calls += _objects(part)
        else:
            calls.append(ToolCall(named[1], part[named.end() :].strip(), named[2] or ""))
    return said.strip(), tuple(calls)


_PYTHON_TAG = "<|python_tag|>"
_ENDS = re.compile(r"(?:<\|e\w+_id\|>|<\|im_end\|>|</s>)\s*\Z")
_KEYS = {"name", "parameters", "arguments", "type"}


def _llama(text: str, known: Offered) -> Read | None:
    said, tag, rest = text.partition(_PYTHON_TAG)
    rest = _ENDS.sub("", rest if tag else text).strip()
    if not tag and rest[:1] != "{":
        return None
    calls: list[ToolCall] = []
    while rest:
        try:
            value, end = _decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            name = _NAME.search(rest) if rest[:1] == "{" else None
            if name is None or not (tag or name[1] in known):
                return (text, ()) if tag else None
            calls.append(_broken(rest))
            break
        # Without a mark, an answer that is JSON is a call only if nothing else is in it.
        keys = cast("dict[str, Any]", value).keys() if isinstance(value, dict) else set[str]()
        if not tag and not ("name" in keys and keys <= _KEYS and len(keys) > 1):
            return None
        calls += _called(value)
        rest = rest[end:].lstrip("; \r\n")
    return (said.strip() if tag else "", tuple(calls)) if calls else None


_READERS: tuple[Callable[[str, Offered], Read | None], ...] = (
    _scripted,
    _hermes,
    _functions,
    _channels,
    _mistral,
    _llama,
)
_NAME = re.compile(r'"name"\s*:\s*"([^"\\]+)"')


def _objects(text: str) -> list[ToolCall]:
    """The calls in JSON: one, a list of them, or several one after the other."""
    calls: list[ToolCall] = []
    rest = text
    while rest:
        try:
            value, end = _decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            calls.append(_broken(rest))
            break
        calls += _called(value) or [_broken(rest[:end])]
        rest = rest[end:].lstrip("; \r\n")
    return calls


def _called(value: Any) -> list[ToolCall]:
    if isinstance(value, list):
        return [call for one in cast("list[Any]", value) for call in _called(one)]
    if not isinstance(value, dict):
        return []
    given = cast("dict[str, Any]", value)
    if isinstance(inner := given.get("function"), dict):
        given = {"id": given.get("id"), **cast("dict[str, Any]", inner)}
    if not isinstance(name := given.get("name"), str):
        return []
    arguments: Any = given.get("arguments", given.get("parameters"))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    id = given.get("id")
    return [ToolCall(name, text, id if isinstance(id, str) else "")]


def _broken(text: str) -> ToolCall:
    """A call that can't be read: what can be told of it."""
    name = _NAME.search(text)
    return ToolCall(name[1] if name is not None else "", text)
