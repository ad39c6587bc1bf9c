"""What an endpoint answers when it is asked for its models."""

from __future__ import annotations

from typing import Any, cast


def listed(answer: Any) -> list[str]:
    """The names in a list of models, in the forms that endpoints give it.

    Raises:
        ValueError: it is no such list.
    """
    if isinstance(answer, dict):
        fields = cast("dict[str, Any]", answer)
        if not fields.keys() & {"data", "models"}:
            raise ValueError("no list of models")
        answer = fields.get("data") or fields.get("models") or []
    if not isinstance(answer, list):
        raise ValueError("no list of models")
    cards = [
        cast("dict[str, Any]", one) for one in cast("list[Any]", answer) if isinstance(one, dict)
    ]
    names = [one.get("id") or one.get("name") for one in cards]
    return [name for name in names if isinstance(name, str)]


def of_a_website(response: Any) -> bool:
    """Whether a response is a page for people."""
    return "html" in response.headers.get("content-type", "")
