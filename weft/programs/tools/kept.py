"""Results of tools in the run's Store, so that a resumed run does not do again what was done."""

from __future__ import annotations

import inspect
import json
from hashlib import blake2b
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from weft.programs.prompt import value_text
from weft.programs.scope import Scope
from weft.programs.tools.marking import Tool
from weft.types import Media, ToolCall, ToolResult


def kept_result(scope: Scope, tool: Tool, call: ToolCall) -> ToolResult | None:
    """What the same call of the same conversation gave before, if that was kept."""
    if not tool.keep or scope.store is None:
        return None
    stored = scope.store.get(_key(call))
    if stored is None:
        return None
    kept = json.loads(stored.outcome)
    media = tuple([Media(*one) for one in kept.get("media", ())])
    return ToolResult(call.id, call.name, kept["text"], _read(tool, kept["value"]), media=media)


def keep_result(scope: Scope, tool: Tool, call: ToolCall, result: ToolResult) -> None:
    """Keep a result; it is in the database when this returns."""
    if tool.keep and scope.store is not None:
        value = json.loads(value_text([result.value]))[0]
        media = [[one.kind, one.url, one.name] for one in result.media]
        record = json.dumps({"text": result.text, "value": value, "media": media})
        scope.store.put(_key(call), record, done=True)


def _read(tool: Tool, value: Any) -> Any:
    """A value as the tool returns it, if its annotation says what that is; else plain JSON."""
    function = tool.function
    try:
        returns = get_type_hints(inspect.unwrap(function), include_extras=True).get("return", Any)
        return TypeAdapter(returns).validate_json(json.dumps(value))
    except Exception:  # an annotation that names what is not there, or what JSON can't say
        return value


def _key(call: ToolCall) -> str:
    """What determines a result: the conversation, by the call's id, and what is called."""
    told = json.dumps(["tool", call.id, call.name, value_text(call.arguments)])
    return blake2b(told.encode(), digest_size=20).hexdigest()
