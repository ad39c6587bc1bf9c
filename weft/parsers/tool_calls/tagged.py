"""Calls in tags: those of Qwen3-Coder, and of GLM from 4.5 on.

Qwen3-Coder writes `<function=NAME>` with a `<parameter=NAME>` for each argument, a line for each
tag. GLM writes the tool's name, and pairs of `<arg_key>` and `<arg_value>`. Both write values
without quotes, so the tool's schema has to tell whether `5` is a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from weft.parsers.tool_calls import Offered
from weft.types import ToolCall

_FUNCTION = re.compile(r"<function=([^>\n]*)>(.*?)(</function>|(?=<function=)|\Z)", re.DOTALL)
_PARAMETER = re.compile(
    r"\s*<parameter=([^>\n]*)>(.*?)(?:</parameter>|(?=<parameter=)|(?P<open>\Z))", re.DOTALL
)
_NAME = re.compile(r"[^\s<>]+")
_PAIR = re.compile(r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_LITERALS = {"True": True, "False": False, "None": None}
_DEEP = 16


def tagged_calls(text: str, known: Offered, whole: bool) -> list[ToolCall]:
    """The calls in a text that is one; empty if it is none in tags.

    A call that can't be read, or that was cut off, has its text as arguments: half a value could
    be taken for a whole one.

    Args:
        text: of a call, without the tag around it.
        known: the tools that were offered.
        whole: whether the tag around it was closed.
    """
    functions = list(_FUNCTION.finditer(text))
    if functions:
        last = functions[-1]
        return [
            _qwen(one[1].strip(), one[2], known, whole or bool(one[3]) or one is not last)
            for one in functions
        ]
    name = _NAME.match(text)
    if name is None:
        return []
    rest = text[name.end() :]
    if rest.strip() and "<arg_" not in rest:
        return []
    return [_glm(name[0], rest, known, whole)]


def _qwen(name: str, inside: str, known: Offered, whole: bool) -> ToolCall:
    given: dict[str, str] = {}
    at = 0
    while (one := _PARAMETER.match(inside, at)) is not None:
        if one["open"] is not None and not whole:
            break
        given[one[1].strip()] = one[2].removeprefix("\n").removesuffix("\n")
        at = one.end()
    if not whole or inside[at:].strip():
        return ToolCall(name, inside.strip() or "<parameter=")
    return ToolCall(name, _arguments(name, given, known))


def _glm(name: str, inside: str, known: Offered, whole: bool) -> ToolCall:
    given: dict[str, str] = {}
    at = 0
    while (one := _PAIR.match(inside, at)) is not None:
        given[one[1].strip()] = one[2]
        at = one.end()
    if not whole or inside[at:].strip():
        return ToolCall(name, inside.strip() or "<arg_key>")
    return ToolCall(name, _arguments(name, given, known))


def _arguments(name: str, given: Mapping[str, str], known: Offered) -> str:
    """Arguments as JSON, each of a kind that the tool's schema knows."""
    schemas = cast("Mapping[str, Mapping[str, Any]]", known if isinstance(known, Mapping) else {})
    schema = schemas.get(name, {})
    fields = cast("object", schema.get("properties"))
    properties = cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}
    return json.dumps(
        {key: _value(text, _kinds(properties.get(key), schema)) for key, text in given.items()}
    )


def _value(text: str, kinds: set[str]) -> Any:
    """What a text without quotes says, for a value of some kinds; of any, if there are none."""
    if kinds == {"string"}:
        return text
    said = text.strip()
    try:
        read: Any = json.loads(said, strict=False, parse_constant=_no_json)
    except (ValueError, RecursionError):
        if said not in _LITERALS:
            return text
        read = _LITERALS[said]
    # Where a text may be meant too, as by `5`, only what hardly is one is something else.
    apart = _kind(read) in {"null", "object", "array"} & kinds
    return read if apart or "string" not in kinds else text


def _no_json(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _kinds(schema: Any, root: Mapping[str, Any], deep: int = 0) -> set[str]:
    """The kinds of JSON that a schema takes; empty if it takes any."""
    if not isinstance(schema, dict) or deep > _DEEP:
        return set()
    given = cast("dict[str, Any]", schema)
    if isinstance(kind := given.get("type"), str):
        return {kind}
    if isinstance(kind, list):
        return {str(one) for one in cast("list[Any]", kind)}
    if isinstance(reference := given.get("$ref"), str):
        defs: Any = root.get("$defs") or root.get("definitions")
        named = reference.rpartition("/")[2]
        found = cast("dict[str, Any]", defs).get(named) if isinstance(defs, dict) else None
        return _kinds(found, root, deep + 1)
    values: list[Any] = given.get("enum") or ([given["const"]] if "const" in given else [])
    if isinstance(cast(object, values), list) and values:
        return {_kind(one) for one in values}
    found_kinds: set[str] = set()
    for word in ("anyOf", "oneOf", "allOf"):
        branches: Any = given.get(word)
        for one in cast("list[Any]", branches) if isinstance(branches, list) else []:
            inner = _kinds(one, root, deep + 1)
            if not inner and word != "allOf":
                return set()
            found_kinds |= inner
    return found_kinds


def _kind(value: object) -> str:
    names: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    return names.get(type(value), "null")
