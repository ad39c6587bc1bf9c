"""Results of tools in the run's Store, so that a resumed run does not do again what was done."""

from __future__ import annotations

import json
from hashlib import blake2b

from weft.programs.prompt import value_text
from weft.programs.scope import Scope
from weft.programs.tools.marking import Tool
from weft.types import ToolCall, ToolResult


def kept_result(scope: Scope, tool: Tool, call: ToolCall) -> ToolResult | None:
    """What the same call of the same conversation gave before, if that was kept."""
    if not tool.keep or scope.store is None:
        return None
    stored = scope.store.get(_key(call))
    if stored is None:
        return None
    kept = json.loads(stored.outcome)
    return ToolResult(call.id, call.name, kept["text"], kept["value"])


def keep_result(scope: Scope, tool: Tool, call: ToolCall, result: ToolResult) -> None:
    """Keep a result; it is in the database when this returns."""
    if tool.keep and scope.store is not None:
        value = json.loads(value_text([result.value]))[0]
        record = json.dumps({"text": result.text, "value": value})
        scope.store.put(_key(call), record, done=True)


def _key(call: ToolCall) -> str:
    """What determines a result: the conversation, by the call's id, and what is called."""
    told = json.dumps(["tool", call.id, call.name, value_text(call.arguments)])
    return blake2b(told.encode(), digest_size=20).hexdigest()
