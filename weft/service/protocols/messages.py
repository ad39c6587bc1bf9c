"""`/v1/messages` and `/v1/messages/count_tokens`."""

from __future__ import annotations

from typing import Any, cast

import orjson

from weft.service.protocols.answers.meters import EventMeter, Through
from weft.service.protocols.claude_code import mend_turns, without_billing
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.errors.overflow import Overflow
from weft.service.protocols.events import (
    known_tokens,
    member,
    object_of,
    split,
    tokens,
)
from weft.service.protocols.protocol import Body, Meter, Protocol, Used
from weft.service.protocols.reading import (
    content_bytes,
    count_problem,
    messages_problem,
    model_problem,
    role_bytes,
    stream_problem,
    tools_piece,
    tools_problem,
    whole,
)

_ERRORS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MARKS = (b'"message_start"', b'"message_delta"', b'"message_stop"', b'"error"')
_BLOCK = b'"content_block_start"'


class Messages(Protocol):
    """Anthropic's messages; their streams tell their usage unasked."""

    path = "/v1/messages"

    def check(self, body: Body) -> str:
        """See Protocol."""
        if body.get("max_tokens") is None:
            return "max_tokens is missing; say how many tokens the answer may have"
        return _prompt_problem(body) or stream_problem(body) or count_problem(body, "max_tokens")

    def mend(self, body: Body) -> bool:
        """See `without_billing` and `mend_turns`."""
        system = body.get("system")
        rest = without_billing(system)
        stripped = rest is not system
        if stripped:
            if rest:
                body["system"] = rest
            else:
                del body["system"]
        turns = cast(list[dict[str, Any]], body["messages"])
        mended = mend_turns(turns)
        if mended is not turns:
            body["messages"] = mended
        return stripped or mended is not turns

    def pieces(self, body: Body) -> list[bytes]:
        """See Protocol."""
        pieces = tools_piece(body)
        if body.get("system"):
            pieces.append(b"system\n" + content_bytes(body["system"]))
        pieces.extend(map(role_bytes, cast(list[dict[str, Any]], body["messages"])))
        return pieces

    def limit(self, body: Body) -> int | None:
        """See Protocol."""
        return whole(body.get("max_tokens"))

    def extra(self, body: Body) -> bytes:
        """Nothing."""
        return b""

    def used(self, answer: Body) -> Used:
        """See Protocol."""
        used = Used()
        used.told = _read_usage(used, answer.get("usage"))
        content = answer.get("content")
        for block in cast(list[Any], content) if isinstance(content, list) else []:
            used.tool = used.tool or _tool(block)
        return used

    def meter(self, body: Body) -> Meter:
        """See Protocol."""
        return _Meter()

    def overflow(self, words: ErrorWords, over: Overflow, estimate: int) -> ErrorWords:
        """See Protocol."""
        return ErrorWords(400, over.anthropic(words.message, estimate))

    def is_error(self, said: Body) -> bool:
        """See Protocol."""
        return said.get("type") == "error" and isinstance(said.get("error"), dict)

    def error(self, words: ErrorWords) -> bytes:
        """See Protocol."""
        return orjson.dumps(anthropic_error(words))

    def error_event(self, words: ErrorWords, answer: str = "") -> bytes:
        """See Protocol."""
        return b"event: error\ndata: " + orjson.dumps(anthropic_error(words)) + b"\n\n"


class CountTokens(Messages):
    """The number of tokens of what would be sent to `/v1/messages`."""

    path = "/v1/messages/count_tokens"
    schedules = False

    def check(self, body: Body) -> str:
        """See Protocol."""
        return _prompt_problem(body)

    def limit(self, body: Body) -> int | None:
        """None: nothing is generated."""
        return None

    def streamed(self, body: Body) -> bool:
        """Never."""
        return False

    def used(self, answer: Body) -> Used:
        """See Protocol."""
        return Used(prompt=tokens(answer.get("input_tokens")))

    def meter(self, body: Body) -> Meter:
        """Passes everything on."""
        return Through()


class _Meter(EventMeter):
    def __init__(self) -> None:
        super().__init__()
        self._stopped = False  # it was said why the answer ended

    def _ending(self) -> bytes:
        """See EventMeter."""
        self.finished = self._stopped
        return b'event: message_stop\ndata: {"type":"message_stop"}\n\n' if self._stopped else b""

    def _read(self, events: bytes) -> bytes:
        self._count(events)
        find = events.find  # for bytes `in` takes ten times as long
        if (
            find(_MARKS[0]) >= 0
            or find(_MARKS[1]) >= 0
            or find(_MARKS[2]) >= 0
            or find(_MARKS[3]) >= 0
            or (not self.used.tool and find(_BLOCK) >= 0)
        ):
            for event in split(events):
                if _BLOCK in event or any(mark in event for mark in _MARKS):
                    self._take(object_of(event))
        return events

    def _take(self, value: Body) -> None:
        """Read one event."""
        match value.get("type"):
            case "message_start":
                generated = self.used.generated
                _read_usage(self.used, member(value, "message", "usage"))
                self.used.generated = generated
            case "content_block_start":
                self.used.tool = self.used.tool or _tool(value.get("content_block"))
            case "message_delta":
                self.used.told = _read_usage(self.used, value.get("usage")) or self.used.told
                self._stopped = bool(member(value, "delta", "stop_reason")) or self._stopped
            case "message_stop":
                self.finished = True
            case "error":
                self._fail(value.get("error"))
            case _:
                pass


def _prompt_problem(body: Body) -> str:
    system = body.get("system")
    if system is not None and not isinstance(system, (str, list)):
        return "system must be text or a list of blocks"
    return model_problem(body) or messages_problem(body) or tools_problem(body)


def _read_usage(used: Used, usage: Any) -> bool:
    """Take a usage. What it counts as input is what was neither read from a cache nor put there.

    Events at the end of a stream may tell only what was generated.
    """
    if not isinstance(usage, dict):
        return False
    if "input_tokens" in usage:
        cached = known_tokens(member(usage, "cache_read_input_tokens"))
        used.cached = used.cached if cached is None else cached
        used.prompt = (
            tokens(member(usage, "input_tokens"))
            + tokens(cached)
            + tokens(member(usage, "cache_creation_input_tokens"))
        )
    generated = tokens(member(usage, "output_tokens"))
    if not (used.prompt or generated):
        return False  # nothing was counted
    used.generated = generated
    return True


def _tool(block: Any) -> str:
    kind, name = member(block, "type"), member(block, "name")
    return name if kind in ("tool_use", "server_tool_use") and isinstance(name, str) else ""


def anthropic_error(words: ErrorWords) -> dict[str, Any]:
    """An error as Anthropic's endpoints write it."""
    kind = "api_error" if words.status >= 500 else "invalid_request_error"
    kind = words.kind or _ERRORS.get(words.status, kind)
    return {"type": "error", "error": {"type": kind, "message": words.message}}
