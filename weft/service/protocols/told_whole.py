"""Answers of chat and completions that engines tell whole though a stream was asked for."""

from __future__ import annotations

from typing import Any, cast

import orjson

from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body
from weft.service.protocols.told_errors import error_in


def as_events(answer: Body) -> bytes:
    """The stream that an answer would have been; an error is its only event.

    Empty if it is neither.
    """
    choices: Any = answer.get("choices")
    if not isinstance(choices, list):
        return _event(answer) if error_in(answer) else b""
    head = {key: value for key, value in answer.items() if key not in ("choices", "usage")}
    if answer.get("object") == "chat.completion":
        head["object"] = "chat.completion.chunk"
    found = [cast(Body, one) for one in cast(list[Any], choices) if isinstance(one, dict)]
    events = [_event({**head, "choices": [_told(choice)]}) for choice in found]
    if usage := answer.get("usage"):
        events.append(_event({**head, "choices": [], "usage": usage}))
    return b"".join([*events, b"data: [DONE]\n\n"])


def _told(choice: Body) -> Body:
    """A choice as one of a stream."""
    message: Any = choice.get("message")
    if not isinstance(message, dict):
        return choice  # of completions
    delta = cast(Body, message)
    calls = member(delta, "tool_calls")
    if isinstance(calls, list):
        numbered = enumerate(cast(list[Body], calls))
        delta = {**delta, "tool_calls": [{"index": at, **call} for at, call in numbered]}
    rest = {key: value for key, value in choice.items() if key != "message"}
    return {**rest, "delta": delta}


def _event(value: Body) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
