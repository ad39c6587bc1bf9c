"""Where clients put the id of their session: in headers or in the body."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import orjson

# In the order in which they count. `_` and `-` are the same in names of headers.
_FIRST = ("x-weft-program", "x-litellm-trace-id", "x-litellm-session-id")
_LAST = ("session-id", "x-session-id", "x-session-affinity", "agent-session-id")
_FIXED = frozenset((*_FIRST, *_LAST))
# Of other headers: vendors put their own names in front.
_ENDS = (
    *("session-id", "conversation-id", "conv-id", "chat-id", "thread-id"),
    *("taskid", "task-id", "session"),
)
_ABOVE = ("parent", "root", "previous")
_NOT = frozenset(("mcp-session-id", "x-mcp-session-id"))  # of a connection to a tool server
_BODY = ("litellm_session_id", "session_id", "sessionId", "conversation_id", "chat_id", "thread_id")
_MEMBERS = (
    *("session_id", "sessionId", "conversation_id", "conversationId", "chat_id", "chatId"),
    *("thread_id", "threadId", "task_id", "taskId"),
)
_MAYBE = frozenset((*_BODY, "prompt_cache_key", "metadata", "conversation"))
# What clients send that forgot to fill in an id: sessions of different users would be one.
_EMPTY = frozenset(
    (
        *("", "null", "none", "nil", "undefined", "nan", "false", "true", "unknown", "n/a"),
        *("{}", "[]", '""', "''", '"null"'),
    )
)
_EMPTY_TOO = ("[object Object]", "00000000-0000-0000-0000-000000000000")

SHARED = "agent-session-id"
"""A header whose ids are counted by each user alone: two users may send the same one."""


def session_id(headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[str, str]:
    """The id that a client gives its session, and the place where it stands; empty if none.

    Takes anything: what is no text, or stands for nothing, is as if it were not there.

    Args:
        headers: by lower-case names.
        body: of the request.
    """
    own: list[tuple[int, str, str]] = []
    for name, value in headers.items():
        place = _place(name)
        if place and (value := _text(value)):
            own.append((*place, value))
    if own:
        _, name, value = min(own) if len(own) > 1 else own[0]
        return value, name
    if _MAYBE.isdisjoint(body) and "baggage" not in headers:
        return "", "baggage"
    get = body.get
    if found := _text(get("prompt_cache_key")):
        return found, "prompt_cache_key"
    metadata: Any = get("metadata")
    members = cast(dict[str, Any], metadata) if isinstance(metadata, dict) else {}
    if members and (found := _session_of(members.get("user_id"))):
        return found, "metadata.user_id"
    for name in _BODY:
        if name in body and (found := _text(body[name])):
            return found, name
    for name in _MEMBERS if members else ():
        if found := _text(members.get(name)):
            return found, f"metadata.{name}"
    conversation: Any = get("conversation")
    if isinstance(conversation, dict):  # as OpenAI has it; some have the id alone
        conversation = cast(dict[str, Any], conversation).get("id")
    if found := _text(conversation):
        return found, "conversation"
    return _baggage(headers.get("baggage", "")), "baggage"


@lru_cache(maxsize=4096)
def _place(name: str) -> tuple[int, str] | None:
    """How early a header counts as the session's id, and its name; None if it is none."""
    name = name.replace("_", "-")
    if name in _FIRST:
        return _FIRST.index(name), name
    if name in _LAST:
        return len(_FIRST) + 1 + _LAST.index(name), name
    if not name.endswith(_ENDS) or name in _NOT or any(one in name for one in _ABOVE):
        return None
    return (len(_FIRST), name) if name.startswith("x-") else (len(_FIXED) + 1, name)


def _session_of(user_id: Any) -> str:
    """The session in Anthropic's `user_id`, if there is one; else it names a person."""
    if not isinstance(user_id, str):
        return ""
    if user_id.startswith("{"):
        try:
            value: Any = orjson.loads(user_id)
        except ValueError:
            return ""
        session = cast(dict[str, Any], value).get("session_id") if isinstance(value, dict) else ""
        return _text(session)
    return _text(user_id.rpartition("_session_")[2]) if "_session_" in user_id else ""


def _baggage(value: str) -> str:
    """The member `session.id` of W3C baggage."""
    if "session.id" not in value:
        return ""
    for member in value.split(","):
        key, _, rest = member.partition("=")
        if key.strip() == "session.id":
            return _text(unquote(rest.partition(";")[0]))
    return ""


def _text(value: Any) -> str:
    """An id as text; empty for what is none. Whole numbers are ids too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if -(2**63) <= value < 2**64 else ""
    if not isinstance(value, str):
        return ""
    value = value.strip()
    empty = value in _EMPTY_TOO or (len(value) < 10 and value.lower() in _EMPTY)
    return "" if empty else value
