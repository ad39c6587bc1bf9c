"""`/v1/responses`."""

from __future__ import annotations

from typing import Any, cast

import orjson

from weft.service.protocols.answers.meters import EventMeter
from weft.service.protocols.compaction import unfolded
from weft.service.protocols.errors.error_words import (
    TOO_LONG,
    ErrorWords,
    openai_body,
    openai_error,
)
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
    model_problem,
    object_bytes,
    role_bytes,
    stream_problem,
    tools_piece,
    tools_problem,
    whole,
)

_ENDS = (b'"response.completed"', b'"response.incomplete"', b'"response.failed"')
_CREATED = b'"response.created"'
_ADDED = b'"response.output_item.added"'
_ERROR = (b'"type":"error"', b'"type": "error"')
_FINAL = frozenset(
    {TOO_LONG, "insufficient_quota", "usage_not_included", "cyber_policy", "bio_policy"}
)
"""Codes besides `invalid_prompt` that Codex knows: to ask again is of no use."""


class Responses(Protocol):
    """OpenAI's responses; its streams tell their usage unasked."""

    path = "/v1/responses"

    def check(self, body: Body) -> str:
        """See Protocol."""
        return (
            model_problem(body)
            or _input_problem(body)
            or stream_problem(body)
            or count_problem(body, "max_output_tokens")
            or tools_problem(body)
        )

    def mend(self, body: Body) -> bool:
        """Put summaries that weft made where they stand, for engines can't read them.

        Roles such as `developer` and foreign tools are for the engine to judge.
        """
        return unfolded(body)

    def pieces(self, body: Body) -> list[bytes]:
        """See Protocol. With `previous` they are only what is new."""
        pieces = tools_piece(body)
        if body.get("instructions"):
            pieces.append(b"system\n" + content_bytes(body["instructions"]))
        given = body["input"]
        if isinstance(given, str):
            pieces.append(b"user\n" + content_bytes(given))
            return pieces
        for item in cast(list[dict[str, Any]], given):
            spoken = type(item.get("role")) is str
            pieces.append(role_bytes(item) if spoken else object_bytes(item))
        return pieces

    def previous(self, body: Body) -> str:
        """See Protocol."""
        previous = body.get("previous_response_id")
        return previous if isinstance(previous, str) else ""

    def limit(self, body: Body) -> int | None:
        """See Protocol."""
        return whole(body.get("max_output_tokens"))

    def extra(self, body: Body) -> bytes:
        """Nothing."""
        return b""

    def used(self, answer: Body) -> Used:
        """See Protocol."""
        used = Used()
        _read_response(used, answer)
        return used

    def meter(self, body: Body) -> Meter:
        """See Protocol."""
        return _Meter()

    def error(self, words: ErrorWords) -> bytes:
        """See Protocol."""
        return openai_body(words)

    def error_event(self, words: ErrorWords, answer: str = "") -> bytes:
        """See Protocol.

        Clients of OpenAI's own library look for `error`, Codex for `response.failed`; the
        former's fields stand in it twice, as documented and as OpenAI sends them.
        """
        error = openai_error(words)
        first = {"type": "error", "sequence_number": 0, "error": error}
        first |= {name: error[name] for name in ("code", "message", "param")}
        response: Body = {"id": answer, "object": "response", "status": "failed", "output": []}
        response["error"] = {"code": failed_code(words), "message": words.message}
        last = {"type": "response.failed", "sequence_number": 1, "response": response}
        return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n" % (
            orjson.dumps(first),
            orjson.dumps(last),
        )


def failed_code(words: ErrorWords) -> str:
    """The code of a response that failed. Codex sends the same again after all but `_FINAL`.

    After `rate_limit_exceeded` it waits as long as the message says, else for a moment.
    """
    code = words.code if isinstance(words.code, str) else ""
    if words.status in (429, 503):
        return code or "rate_limit_exceeded"
    if words.status >= 500:
        return code or "server_error"
    return code if code in _FINAL else "invalid_prompt"


class Compact(Responses):
    """`/v1/responses/compact`: the conversation made short, not streamed."""

    path = "/v1/responses/compact"

    def streamed(self, body: Body) -> bool:
        """Never."""
        return False


class _Meter(EventMeter):
    def _read(self, events: bytes) -> bytes:
        self._count(events)
        # The last events hold the whole response, and so are the only ones worth a look
        # besides those that begin it or an item.
        find = events.find  # for bytes `in` takes ten times as long
        if (
            find(_ENDS[0]) >= 0
            or find(_ENDS[1]) >= 0
            or find(_ENDS[2]) >= 0
            or find(_ERROR[0]) >= 0
            or find(_ERROR[1]) >= 0
            or (not self.used.id and find(_CREATED) >= 0)
            or (not self.used.tool and find(_ADDED) >= 0)
        ):
            for event in split(events):
                self._take(event)
        return events

    def _take(self, event: bytes) -> None:
        """Read one event."""
        if _ADDED in event:
            self.used.tool = self.used.tool or _tool(object_of(event).get("item"))
            return
        if not any(mark in event for mark in (_CREATED, *_ENDS, *_ERROR)):
            return
        value = object_of(event)
        kind, response = value.get("type"), value.get("response")
        if kind == "response.created":
            id = member(response, "id")
            self.used.id = id if isinstance(id, str) else ""
        elif kind == "error":
            self._fail(value.get("error") or value)
        elif kind == "response.failed":
            self._fail(member(response, "error"))
            self._end(response)
        elif kind in ("response.completed", "response.incomplete"):
            self._end(response)

    def _end(self, response: Any) -> None:
        self.finished = True
        if isinstance(response, dict):
            _read_response(self.used, cast(Body, response))


def _input_problem(body: Body) -> str:
    given = body.get("input")
    if isinstance(given, str):
        return ""
    if isinstance(given, list) and (given or body.get("previous_response_id")):
        for index, item in enumerate(cast(list[Any], given)):
            if not isinstance(item, dict):
                return f"input[{index}] must be an object, such as a message with a role"
        return ""
    return "input must be text or a non-empty list of items"


def _read_response(used: Used, response: Body) -> None:
    """Take a whole response."""
    if isinstance(response.get("id"), str):
        used.id = response["id"]
    output = response.get("output")
    for item in cast(list[Any], output) if isinstance(output, list) else []:
        used.tool = used.tool or _tool(item)
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return
    prompt, generated = (
        tokens(member(usage, "input_tokens")),
        tokens(member(usage, "output_tokens")),
    )
    if prompt or generated:  # else nothing was counted
        used.prompt, used.generated, used.told = prompt, generated, True
    used.cached = known_tokens(member(usage, "input_tokens_details", "cached_tokens"))


def _tool(item: Any) -> str:
    """The tool that an item calls, by its name, or by its kind if it has none."""
    kind = member(item, "type")
    if not isinstance(kind, str) or not kind.endswith("_call"):
        return ""
    name = member(item, "name")
    return name if isinstance(name, str) and name else kind.removesuffix("_call")
