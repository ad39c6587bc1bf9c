"""Compaction: a conversation made short by the model itself, as Codex asks services to do it.

OpenAI gives the short form as an item that only its own servers can read. Here the item holds a
summary that the model wrote; any service of weft reads it, with any model.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

from weft.errors import UsageError
from weft.service.protocols.protocol import Body

TRIGGER = "compaction_trigger"
"""The type of the last item of an input whose answer is to be one compaction item."""

_MARK = "weft1:"
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
    kept = base64.b64encode(summary.encode()).decode()
    return {"type": "compaction", "id": id, "encrypted_content": _MARK + kept}


def own_summary(item: Body, place: str) -> str:
    """What the model is told in place of what an item stands for.

    Raises:
        UsageError: the item is none of weft's.
    """
    kept: Any = item.get("encrypted_content")
    if isinstance(kept, str) and kept.startswith(_MARK):
        try:
            return _TOLD % base64.b64decode(kept.removeprefix(_MARK), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise UsageError(
        f"{place} is a compaction of another service, which only that one can read; begin the "
        "conversation anew, or have the client compact by itself (Codex: a provider of your own "
        "under model_providers)"
    )


def unfolded(body: Body) -> bool:
    """Put summaries in the place of compaction items, in place; whether there were any."""
    given: Any = body.get("input")
    if not isinstance(given, list):
        return False
    items = cast(list[Body], given)
    if not any(map(_is_own, items)):
        return False
    body["input"] = [
        {"role": "user", "content": own_summary(item, "input")} if _is_own(item) else item
        for item in items
    ]
    return True


def _is_own(item: Body) -> bool:
    kept: Any = item.get("encrypted_content")
    own = isinstance(kept, str) and kept.startswith(_MARK)
    return own and item.get("type") == "compaction"
