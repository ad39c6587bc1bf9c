"""Calls of one round that need what another call of the round gives.

Calls of a round run side by side, so none can know what another gives. Models write a placeholder
then: `$1`, `{{read.output}}`, `<result of read>`. Such a call is refused, and its result tells
the model to make the call in the next round (Divide-Then-Aggregate, Zhu et al. 2025).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from weft.types import ToolCall

_HELD = re.compile(
    r"\{\{\s*([^{}]{1,80}?)\s*\}\}|\$\{\s*([^{}]{1,80}?)\s*\}|<\s*([^<>]{1,80}?)\s*>"
    r"|\[\s*([^\[\]]{1,80}?)\s*\]|[$#](\w[\w.]{0,79})"
)
"""What may hold a reference."""

_WORDS = r"(?:output|result|response|answer|return value|value)s?"
_BEFORE = re.compile(rf"(?:the\s+)?{_WORDS}\s*(?:of|from|\(|_of_|_from_|:|_)\s*", re.IGNORECASE)
_BEHIND = re.compile(rf"(?:\(\))?(?:'s)?[\s._-]*{_WORDS}(?:\W.*)?\Z", re.IGNORECASE)
_PLACE = re.compile(r"(?:tool[ _]?)?(?:call|step|E)?[ _#]?(\d{1,3})\Z", re.IGNORECASE)


def refused(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """The calls; those that refer to another one of them have an error."""
    if len(calls) < 2:
        return list(calls)
    return [_looked_at(at, one, calls) for at, one in enumerate(calls)]


def _looked_at(at: int, call: ToolCall, calls: Sequence[ToolCall]) -> ToolCall:
    if call.error or not isinstance(call.arguments, Mapping):
        return call
    for name, value in call.arguments.items():
        for text in _texts(value):
            other = _referred(text, at, calls)
            if other is not None:
                return replace(
                    call,
                    error=f"argument {name} of {call.name} needs what call {other + 1} of the "
                    f"same round, of {calls[other].name}, gives. Calls of a round run side by "
                    f"side: call {call.name} in the next round, with the value itself",
                )
    return call


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[Any, Any]", value).values():
            yield from _texts(one)
    elif isinstance(value, list | tuple | set):
        for one in cast("Sequence[Any]", value):
            yield from _texts(one)


def _referred(text: str, at: int, calls: Sequence[ToolCall]) -> int | None:
    """The place of the call that a text refers to."""
    for place, other in enumerate(calls):
        if place != at and len(other.id) > 3 and re.search(rf"\b{re.escape(other.id)}\b", text):
            return place
    for match in _HELD.finditer(text):
        inner = next(filter(None, match.groups()), "")
        whole = match[0] == text.strip()
        bare = _BEHIND.sub("", _BEFORE.sub("", inner, count=1)).strip(" ()'\"`")
        spoken = bare != inner.strip()  # of an output, by that word
        named = [i for i, one in enumerate(calls) if i != at and one.name == bare]
        if named and (spoken or whole):
            return named[0]
        number = _PLACE.match(bare)
        if number is not None and (spoken or (whole and match[0][:1] in "${#")):
            place = int(number[1]) - 1
            if 0 <= place < len(calls) and place != at:
                return place
    return None
