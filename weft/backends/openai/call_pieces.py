"""Calls of tools that come in pieces, in the many forms in which endpoints send them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

from weft.backends.openai.reading import as_object
from weft.types import ToolCall


@dataclass(slots=True)
class _Begun:
    """A call of which some pieces have come."""

    index: Any
    id: str
    name: str = ""
    text: str = ""


class CallPieces:
    """Puts the calls of one answer together.

    A piece belongs to the call of its index. Where endpoints give no index, or the same one to
    all calls, a new id, or a name behind arguments, begins another call.
    """

    def __init__(self) -> None:
        self._calls: list[_Begun] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, message: dict[str, Any]) -> int:
        """Read the calls in a message, or in a piece of one; how many bytes they have."""
        size = 0
        listed: Any = message.get("tool_calls")
        if isinstance(listed, dict):
            listed = [listed]
        for one in map(as_object, cast("list[Any]", listed) if isinstance(listed, list) else []):
            if one:
                size += self._piece(one, as_object(one.get("function")) or one)
        if not size and (older := as_object(message.get("function_call"))):
            size += self._piece({}, older)
        return size

    def _piece(self, one: dict[str, Any], function: dict[str, Any]) -> int:
        id, index = _text(one.get("id")), one.get("index")
        name, arguments = _text(function.get("name")), _arguments(function.get("arguments"))
        call = self._find(index, id, name, arguments)
        if call is None:
            call = _Begun(index, id)
            self._calls.append(call)
        elif name == call.name and arguments == call.text and name:
            return 0  # some say all of it again at the end
        call.id = call.id or id
        if name != call.name:  # some repeat the name with each piece
            call.name += name
        call.text += arguments
        return len((name + arguments).encode("utf-8", "surrogatepass"))

    def _find(self, index: Any, id: str, name: str, arguments: str) -> _Begun | None:
        """The call that a piece goes on with; None if it begins one."""
        calls = [c for c in self._calls if index is None or c.index in (None, index)]
        same = next((c for c in calls if id and c.id == id), None)
        last = same or (calls[-1] if calls else None)
        if last is None or not name or (name == last.name and arguments in ("", last.text)):
            return last
        if same is None and id and last.id:
            return None  # another id, and a name with it
        if index is None or last.text:  # a name has come behind another, or behind arguments
            return last if name == last.name and not _whole(last.text) else None
        return last  # a name may come in pieces

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls as far as they have come, in their order."""
        return tuple([ToolCall(one.name, _paired(one.text), one.id) for one in self._calls])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    """Arguments as text; some endpoints send the object itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)


def _whole(arguments: str) -> bool:
    """Whether arguments are whole, so that what follows is another call."""
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return False
    return True


def _paired(text: str) -> str:
    """A text in whole characters, of which pieces may have had halves."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
