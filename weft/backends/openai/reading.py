"""What endpoints write in many forms, read into one: choices, texts, thinking, reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from weft.backends.http.refusals import error_in
from weft.types import FinishReason


def error_of(event: Mapping[str, Any]) -> Any:
    """The error that an event tells of, in itself or in its choice; None without one."""
    choice = first_choice(event)
    return (choice.get("error") if choice else None) or error_in(event)


def first_choice(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The choice that was asked for: the first, should there be others."""
    choices: Any = event.get("choices")
    if isinstance(choices, dict):
        choices = [choices]
    if not isinstance(choices, list):
        return None
    given = [as_object(one) for one in cast("list[Any]", choices)]
    return next((one for one in given if one and str(one.get("index") or 0) == "0"), None)


def as_object(value: Any) -> dict[str, Any]:
    """A value where an object belongs; an empty one if it is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


_THOUGHTS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_details",
    "reasoning_text",
    "thinking_content",
    "thinking_blocks",
    "thought",
    "thoughts",
)
"""Where endpoints put thinking."""


def said(message: dict[str, Any]) -> tuple[str, str]:
    """What a message, or a piece of one, adds to the answer and to the thinking."""
    content: Any = message.get("content")
    text, thought = parts(content)
    for name in _THOUGHTS:
        if found := text_of(message.get(name)):
            return text, thought + found  # the others would say the same
    return text, thought


def parts(content: Any) -> tuple[str, str]:
    """The answer and the thinking in a message's content: a text, or a list of parts."""
    if not isinstance(content, list):
        return text_of(content) or _written(content), ""
    if content and not any(map(text_of, cast("list[Any]", content))):
        return _written(content), ""
    text = thought = ""
    for part in cast("list[Any]", content):
        kind = str(as_object(part).get("type", "text"))
        if "think" in kind or "reason" in kind:
            thought += text_of(part)
        else:
            text += text_of(part)
    return text, thought


def _written(content: Any) -> str:
    """What is neither a text nor a part, as JSON: some endpoints parse an answer that is JSON."""
    within = cast("list[Any]", content) if isinstance(content, list) else [content]
    if all(
        isinstance(one, int | float) or (one and not _PART & as_object(one).keys())
        for one in within
    ):
        return json.dumps(content, ensure_ascii=False)
    return ""


_TEXTS = ("text", "thinking", "content", "summary", "reasoning", "value")
_PART = {"type", *_TEXTS}


def text_of(value: Any) -> str:
    """The text in whatever holds it: a text, a part, or a list of those."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(text_of, cast("list[Any]", value)))
    given = as_object(value)
    for name in _TEXTS:
        if name in given:
            return text_of(given[name])
    return ""


def stop_end(before: str, piece: str, stop: tuple[str, ...]) -> int | None:
    """Where in `piece` the first stop string ends that ends there."""
    longest = max(map(len, stop), default=0)
    tail = before[-(longest - 1) :] if longest > 1 else ""
    ends = [
        at + len(one) - len(tail) for one in stop if (at := (tail + piece).find(one)) >= 0 and one
    ]
    return min(ends, default=None)


_STOPPED = ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "completed", "complete")
_CUT = (
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "model_context_window_exceeded",
)


def finish_of(reason: str | None) -> FinishReason:
    """Our name for an endpoint's reason; `unknown` if it gives none."""
    if reason is None:
        return "unknown"
    known = reason.lower()
    return "stop" if known in _STOPPED else "length" if known in _CUT else known


def one_line(text: str) -> str:
    """A server's words, shortened to fit a sentence."""
    return " ".join(text.split())[:400]
