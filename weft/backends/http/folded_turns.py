"""System and tool turns for models that know none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def folded(messages: list[dict[str, Any]], *roles: str) -> list[dict[str, Any]]:
    """The messages with the turns of these roles as part of the user's.

    Each is at the head of the user's turn after it. If an answer comes first, it is at the end
    of the user's turn before it, or a turn of the user's alone.
    """
    found: list[dict[str, Any]] = []
    held: list[str] = []

    def put() -> None:
        if found and found[-1]["role"] == "user":
            one = found.pop()
            found.append({**one, "content": _joined(one["content"], after=held)})
        else:
            found.append({"role": "user", "content": "\n\n".join(held)})

    for one in messages:
        if one["role"] in roles:
            held.append(one["content"])
            continue
        if one["role"] == "user" and held:
            one = {**one, "content": _joined(one["content"], before=held)}
        elif held:
            put()
        held.clear()
        found.append(one)
    if held:
        put()
    return found


def _joined(content: Any, *, before: Sequence[str] = (), after: Sequence[str] = ()) -> Any:
    """A turn's content with texts around it; of parts, such as images, the texts are parts too."""
    if isinstance(content, str):
        return "\n\n".join([*before, content, *after])

    def part(texts: Sequence[str]) -> list[dict[str, Any]]:
        return [{"type": "text", "text": "\n\n".join(texts)}] if texts else []

    return [*part(before), *content, *part(after)]
