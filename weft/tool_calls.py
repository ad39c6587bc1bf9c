"""Calls of tools that a model writes into its text, told from the answer.

Each family of models writes calls in its own way. The marks in the text tell which: Hermes and
Qwen write `<tool_call>` around JSON, Mistral `[TOOL_CALLS]` before it, Llama 3 JSON alone or
behind `<|python_tag|>`. To add a family, add a reader to `_READERS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from typing import Any, cast

from weft.types import ToolCall

Read = tuple[str, tuple[ToolCall, ...]]
"""The answer without the calls, and the calls."""

CALL, GIVEN = "\x02", "\x03"
"""What a scripted engine writes before the name of a tool, and before the call's arguments."""

_decoder = json.JSONDecoder(strict=False)


def read_calls(text: str, known: Collection[str] = ()) -> Read:
    """The answer in a text, and the calls that the model wrote into the text.

    A call that can't be read, since it was cut off or is no JSON, has its text as arguments.

    Args:
        text: of an answer, without thinking.
        known: names of the tools that were offered.
    """
    for reader in _READERS:
        if (found := reader(text, known)) is not None:
            return found
    return text, ()


def _scripted(text: str, _: Collection[str]) -> Read | None:
    said, *calls = text.split(CALL)
    if not calls:
        return None
    parts = [one.partition(GIVEN) for one in calls]
    return said, tuple([ToolCall(name, arguments) for name, _, arguments in parts])


_HERMES = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)


def _hermes(text: str, _: Collection[str]) -> Read | None:
    found = _HERMES.findall(text)
    if not found:
        return None
    calls = [call for one in found for call in _objects(one.strip())]
    return _HERMES.sub("", text).strip(), tuple(calls)


_MISTRAL = "[TOOL_CALLS]"
_NAMED = re.compile(r"\s*([\w.:-]+)\s*(?:\[CALL_ID\]\s*(\w*)\s*)?(?:\[ARGS\])?\s*(?=\{|\Z)")


def _mistral(text: str, _: Collection[str]) -> Read | None:
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


def _llama(text: str, known: Collection[str]) -> Read | None:
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


_READERS: tuple[Callable[[str, Collection[str]], Read | None], ...] = (
    _scripted,
    _hermes,
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
