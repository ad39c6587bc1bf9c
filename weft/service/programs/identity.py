"""To which program a request belongs, by what its client sends along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import xxhash

from weft.service.programs.session_ids import SHARED, session_id

LONGEST = 128
"""Characters of an id; longer ones are replaced by their hash."""

_HERE = ("127.0.0.1", "::1")
# What `identify` looks for only if one of them is there.
_OPTIONAL = frozenset(
    {
        "idempotency-key",
        "x-parent-session-id",
        "x-stainless-retry-count",
        "x-title",
        "x-weft-name",
        "x-weft-parent",
        "x-weft-stage",
    }
)


@dataclass(slots=True)
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
        who: asks, as far as key, client and names of people tell: requests of different ones
            are never of one conversation.
    """

    id: str = ""
    source: str = ""
    parent: str = ""
    name: str = ""
    stage: str = ""
    resent: bool = False
    key: str = ""
    who: int = field(default=0, compare=False)


def identify(headers: Mapping[str, str], body: Mapping[str, Any], host: str = "") -> Identity:
    """Find the program and its parent. Takes anything; what makes no sense is left out.

    Parents are links only, and so are read first: an id of a parent is never taken for the
    program's own. `user` and `safety_identifier` name people, not sessions.

    Args:
        headers: by lower-case names.
        body: of the request.
        host: that it came from.
    """
    get = headers.get
    found, source = session_id(headers, body)
    parent = name = title = stage = key = ""
    resent = False
    if not _OPTIONAL.isdisjoint(headers):  # most send none of these
        parent = get("x-weft-parent") or get("x-parent-session-id") or ""
        name, title = _clean(get("x-weft-name", "")), get("x-title", "")
        stage, key = _clean(get("x-weft-stage", "")), _clean(get("idempotency-key", ""))
        resent = get("x-stainless-retry-count", "0") not in ("0", "")
    name = name or _client(get("user-agent", "")[:200], title)
    secret = get("authorization") or get("x-api-key") or ""
    person = body.get("user") or body.get("safety_identifier")
    whose = f"{secret}\0{person if type(person) is str else ''}"
    if source == SHARED and (other := whose + host * (host not in _HERE)) != "\0":
        found = f"{found}@{_hash(other)[:8]}"
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
    return Identity(
        own,
        source if own else "",
        above if above != own else "",
        name,
        stage,
        resent,
        key,
        xxhash.xxh3_64_intdigest(f"{name}\0{whose}".encode("utf-8", "surrogatepass")),
    )


def _clean(text: str) -> str:
    """An id or name that may be shown and kept; different ones stay different."""
    if not text:
        return ""
    text = text.strip()
    if not text.isascii():
        text = _as_utf8(text)
    if len(text) <= LONGEST and text.isprintable():
        return text
    return "x-" + _hash(text)


def _as_utf8(text: str) -> str:
    """A header's text as its client meant it: servers read all bytes as latin-1."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _hash(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


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
    "qwencode": "qwen-code",
    "qwen-code": "qwen-code",
    "roo-code": "roo-code",
    "roocode": "roo-code",
    "kilo-code": "kilo-code",
    "goose": "goose",
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
