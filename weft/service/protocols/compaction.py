"""Compaction: a conversation made short by the model itself, as Codex asks services to do it.

OpenAI gives the short form as an item that only its own servers can read. Here the item holds a
summary that the model wrote; any service of weft reads it, with any model.
"""

from __future__ import annotations

from typing import Any, cast

from weft.errors import UsageError
from weft.service.protocols.protocol import Body
from weft.service.protocols.sealed import is_sealed, opened, sealed

TRIGGER = "compaction_trigger"
"""The type of the last item of an input whose answer is to be one compaction item."""

ASKED = (
    "The conversation above is about to be replaced by your summary. Write down all that is needed "
    "to go on with the work without it: what was asked for and with which constraints, what was "
    "decided and why, what was done and found (files, commands, results), what is left to do, and "
    "the next step. Write only the summary, and call no tools."
)
_TOLD = (
    "The conversation before this was replaced by this summary of it, which you wrote. Go on from "
    "it.\n\n%s"
)


def is_asked(body: Body) -> bool:
    """Whether a request wants its conversation made short."""
    given: Any = body.get("input")
    if not isinstance(given, list) or not given:
        return False
    last = cast(list[Any], given)[-1]
    return isinstance(last, dict) and cast(Body, last).get("type") == TRIGGER


def item_of(summary: str, id: str) -> Body:
    """The item that holds a summary."""
    return {"type": "compaction", "id": id, "encrypted_content": sealed(summary)}


def own_summary(item: Body, place: str) -> str:
    """What the model is told in place of what an item stands for.

    Raises:
        UsageError: the item is none of weft's.
    """
    summary = opened(item.get("encrypted_content"))
    if summary is not None:
        return _TOLD % summary
    raise UsageError(
        f"{place} is a compaction of another service, which only that one can read; begin the "
        "conversation anew, or have the client compact by itself (Codex: a provider of your own "
        "under model_providers)"
    )


def unfolded(body: Body) -> bool:
    """Put what items keep for weft where engines read it, in place; whether there was any.

    Summaries stand in the place of compaction items, thinking in the content of its items.
    """
    given: Any = body.get("input")
    if not isinstance(given, list):
        return False
    items = cast(list[Body], given)
    if not any(map(_is_own, items)):
        return False
    body["input"] = [_unfolded(item) if _is_own(item) else item for item in items]
    return True


def _is_own(item: Body) -> bool:
    return is_sealed(item.get("encrypted_content")) and item.get("type") in _KEEPING


def _unfolded(item: Body) -> Body:
    if item["type"] == "compaction":
        return {"role": "user", "content": own_summary(item, "input")}
    rest = {key: value for key, value in item.items() if key != "encrypted_content"}
    thought = opened(item["encrypted_content"])
    if thought and not item.get("content"):
        rest["content"] = [{"type": "reasoning_text", "text": thought}]
    return rest


_KEEPING = ("compaction", "reasoning")
