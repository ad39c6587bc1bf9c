"""To which program a request belongs, by what its client sends along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import orjson
import xxhash

LONGEST = 128
"""Characters of an id; longer ones are replaced by their hash."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. All ids are printable and of bounded length.

    Attributes:
        id: of the program; empty if the client names none.
        source: where the id was found, such as `session-id`; empty with it.
        parent: id of the program that this one works for; empty if none.
        name: which client it is, such as `claude-code`.
        stage: what the program is doing, if it says so.
        resent: whether the client says that it sends this request again.
        key: tells one request from another that looks the same; empty if the client sends none.
    """

    id: str = ""
    source: str = ""
    parent: str = ""
    name: str = ""
    stage: str = ""
    resent: bool = False
    key: str = ""


def identify(headers: Mapping[str, str], body: Mapping[str, Any]) -> Identity:
    """Find the program and its parent. Takes anything; what makes no sense is left out.

    Parents are links only, and so are read first: an id of a parent is never taken for the
    program's own. `user` and `safety_identifier` name people, not sessions.

    Args:
        headers: by lower-case names.
        body: of the request.
    """
    get = headers.get
    parent = get("x-weft-parent") or get("x-parent-session-id") or ""
    found, source = _named(headers, body)
    if agent := get("x-claude-code-agent-id"):
        # A sub-agent of Claude Code sends the id of its session too.
        above = get("x-claude-code-parent-agent-id")
        parent = parent or (f"{found}:{above}" if above else found)
        if source != "x-weft-program":
            found, source = f"{found}:{agent}", "x-claude-code-agent-id"
    elif get("x-codex-parent-thread-id"):
        # One of Codex sends its session's id, and a thread's that is its own.
        parent = parent or get("session-id") or get("x-codex-parent-thread-id") or ""
        thread = get("thread-id")
        if thread and source != "x-weft-program":
            found, source = thread, "thread-id"
    own, above = _clean(found), _clean(parent)
    name = _clean(get("x-weft-name", ""))
    return Identity(
        own,
        source if own else "",
        above if above != own else "",
        name or _client(get("user-agent", "")[:200], get("x-title", "")),
        _clean(get("x-weft-stage", "")),
        get("x-stainless-retry-count", "0") not in ("0", ""),
        _clean(get("idempotency-key", "")),
    )


def _named(headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[str, str]:
    """The program's id and where it stands, in the order in which the places count."""
    for name in ("x-weft-program", "x-litellm-trace-id", "x-litellm-session-id"):
        if found := headers.get(name):
            return found, name
    sessions = [name for name in headers if name.endswith("session-id")]
    for name in sorted(sessions):
        if name.startswith("x-") and name != "x-session-id" and "parent" not in name:
            return headers[name], name
    for name in ("session-id", "x-session-id", "x-session-affinity"):
        if found := headers.get(name):
            return found, name
    if found := _text(body.get("prompt_cache_key")):
        return found, "prompt_cache_key"
    metadata: Any = body.get("metadata")
    members = cast(dict[str, Any], metadata) if isinstance(metadata, dict) else {}
    if found := _session_of(members.get("user_id")):
        return found, "metadata.user_id"
    if found := _text(body.get("litellm_session_id")):
        return found, "litellm_session_id"
    if found := _text(members.get("session_id")):
        return found, "metadata.session_id"
    return _baggage(headers.get("baggage", "")), "baggage"


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
    return user_id.rpartition("_session_")[2] if "_session_" in user_id else ""


def _baggage(value: str) -> str:
    """The member `session.id` of W3C baggage."""
    if "session.id" not in value:
        return ""
    for member in value.split(","):
        key, _, rest = member.partition("=")
        if key.strip() == "session.id":
            return unquote(rest.partition(";")[0].strip())
    return ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _clean(text: str) -> str:
    """An id or name that may be shown and kept; different ones stay different."""
    if not text:
        return ""
    text = text.strip()
    if len(text) <= LONGEST and text.isprintable():
        return text
    return "x-" + xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


# Beginnings of the first product in a user agent, in lower case.
_CLIENTS = {
    "claude-cli": "claude-code",
    "claude-code": "claude-code",
    "codex": "codex",
    "opencode": "opencode",
    "aider": "aider",
    "mini-swe-agent": "mini-swe-agent",
    "cline": "cline",
    "openhands": "openhands",
    "litellm": "litellm",
    "openai/python": "openai-python",
    "asyncopenai/python": "openai-python",
    "openai/js": "openai-js",
    "anthropic/python": "anthropic-python",
    "asyncanthropic/python": "anthropic-python",
    "anthropic/js": "anthropic-js",
}


@lru_cache(maxsize=1024)
def _client(agent: str, title: str) -> str:
    """The client's name by its user agent, or by its title if it uses a library."""
    lower = agent.strip().lower()
    known = next((name for head, name in _CLIENTS.items() if lower.startswith(head)), "")
    own = _clean(title[:200]).lower()
    if own and (not known or known.endswith(("-python", "-js"))):
        return own
    return known or _clean(lower.partition(" ")[0].partition("/")[0])
