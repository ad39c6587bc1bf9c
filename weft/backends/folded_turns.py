"""System and tool turns for models that know none."""

from __future__ import annotations

from typing import Any


def folded(messages: list[dict[str, Any]], *roles: str) -> list[dict[str, Any]]:
    """The messages with the turns of these roles as part of the user's.

    Each is at the head of the user's turn after it. If an answer comes first, it is at the end
    of the user's turn before it, or a turn of the user's alone.
    """
    found: list[dict[str, Any]] = []
    held: list[str] = []

    def put() -> None:
        before = found.pop()["content"] if found and found[-1]["role"] == "user" else None
        texts = held if before is None else [before, *held]
        found.append({"role": "user", "content": "\n\n".join(texts)})

    for one in messages:
        if one["role"] in roles:
            held.append(one["content"])
            continue
        if one["role"] == "user" and held:
            one = {**one, "content": "\n\n".join([*held, one["content"]])}
        elif held:
            put()
        held.clear()
        found.append(one)
    if held:
        put()
    return found
