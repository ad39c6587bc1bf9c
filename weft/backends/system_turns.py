"""System turns for models that know none."""

from __future__ import annotations

from typing import Any


def folded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with each system turn at the head of the user's turn after it."""
    found: list[dict[str, Any]] = []
    held: list[str] = []
    for one in messages:
        if one["role"] == "system":
            held.append(one["content"])
        elif one["role"] == "user" and held:
            found.append({**one, "content": "\n\n".join([*held, one["content"]])})
            held = []
        else:
            found.append(one)
    return [*found, {"role": "user", "content": "\n\n".join(held)}] if held else found
