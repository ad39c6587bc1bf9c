"""What chat and completions have in common: usage by request, and how their streams end."""

from __future__ import annotations

from typing import Any, cast

from weft.service.protocols.answers.meters import EventMeter
from weft.service.protocols.errors.error_words import ErrorWords, openai_body, openai_event
from weft.service.protocols.events import (
    DONE,
    data_of,
    known_tokens,
    member,
    object_of,
    split,
    tokens,
)
from weft.service.protocols.protocol import Body, Meter, Protocol, Used
from weft.service.protocols.reading import whole

_USAGE = (b'"usage":{', b'"usage": {')
_TOOL = (b'"tool_calls":[{', b'"tool_calls": [{')


class OpenAIProtocol(Protocol):
    """An endpoint whose streamed answers tell their usage if `stream_options` asks for it."""

    def mend(self, body: Body) -> bool:
        """Have a stream tell its usage where the client sent other `stream_options`."""
        if "stream_options" not in body or not self.streamed(body):
            return False
        given: dict[str, Any] = body["stream_options"] or {}
        if given.get("include_usage") is True:
            return False
        body["stream_options"] = {**given, "include_usage": True}
        return True

    def limit(self, body: Body) -> int | None:
        """See Protocol."""
        most = whole(body.get("max_completion_tokens"))
        return most if most is not None else whole(body.get("max_tokens"))

    def extra(self, body: Body) -> bytes:
        """See Protocol."""
        if self.streamed(body) and "stream_options" not in body:
            return b'"stream_options":{"include_usage":true}'
        return b""

    def used(self, answer: Body) -> Used:
        """See Protocol."""
        used = Used()
        _read_usage(used, answer)
        _read_tool(used, answer, "message")
        return used

    def meter(self, body: Body) -> Meter:
        """See Protocol."""
        options = body.get("stream_options")
        wanted = isinstance(options, dict) and cast(Body, options).get("include_usage") is True
        return _Meter(strip=not wanted)

    def error(self, words: ErrorWords) -> bytes:
        """See Protocol."""
        return openai_body(words)

    def error_event(self, words: ErrorWords, answer: str = "") -> bytes:
        """See Protocol."""
        return openai_event(words)


class _Meter(EventMeter):
    """Takes the event of the usage out if the client did not ask for it (`strip`)."""

    def __init__(self, strip: bool) -> None:
        super().__init__()
        self._strip = strip
        self._last = b""  # the last events that may say why a choice ended

    def _read(self, events: bytes) -> bytes:
        self._count(events)
        find = events.find  # for bytes `in` takes ten times as long
        if (
            find(b"[DONE]") >= 0
            or find(_USAGE[0]) >= 0
            or find(b'"error"') >= 0
            or find(_USAGE[1]) >= 0
            or (not self.used.tool and (find(_TOOL[0]) >= 0 or find(_TOOL[1]) >= 0))
        ):
            return self._read_each(events)
        self._last = events
        return events

    def _ending(self) -> bytes:
        """Some end the stream after they have said why the answer ended."""
        choices = [object_of(event).get("choices") for event in split(self._last)]
        ended = [
            member(choice, "finish_reason")
            for found in choices
            for choice in (cast(list[Any], found) if isinstance(found, list) else [])
        ]
        self.finished = any(ended)
        return b"data: [DONE]\n\n" if self.finished else b""

    def _read_each(self, events: bytes) -> bytes:
        if b'"finish_reason"' in events:
            self._last = events
        kept: list[bytes] = []
        for event in split(events):
            if b"[DONE]" in event and data_of(event) == DONE:
                self.finished, self._strip = True, False
                if not self.used.told:
                    self.used.generated -= 1
                kept.append(event)
            elif not self._take(event):
                kept.append(event)
        return b"".join(kept)

    def _take(self, event: bytes) -> bool:
        """Read one event; returns whether the client is not to get it."""
        with_usage = _USAGE[0] in event or _USAGE[1] in event
        with_tool = not self.used.tool and (_TOOL[0] in event or _TOOL[1] in event)
        if not (with_usage or with_tool or b'"error"' in event):
            return False
        value = object_of(event)
        if value.get("error"):
            self._fail(value["error"])
        if with_tool:
            _read_tool(self.used, value, "delta")
        if not with_usage or not _read_usage(self.used, value):
            return False
        if self._strip and value.get("choices") == []:
            self._strip = False
            return True
        return False


def _read_usage(used: Used, value: Body) -> bool:
    """Take `usage`, if there is one."""
    usage = value.get("usage")
    if not isinstance(usage, dict):
        return False
    one = cast(dict[str, Any], usage)
    prompt, generated = tokens(one.get("prompt_tokens")), tokens(one.get("completion_tokens"))
    if prompt or generated:  # else nothing was counted
        used.prompt, used.generated, used.told = prompt, generated, True
    used.cached = known_tokens(member(one, "prompt_tokens_details", "cached_tokens"))
    return True


def _read_tool(used: Used, value: Body, where: str) -> None:
    """Take the name of the first tool; completions have none."""
    choices = value.get("choices")
    for choice in cast(list[Any], choices) if isinstance(choices, list) else []:
        calls = member(choice, where, "tool_calls")
        for call in cast(list[Any], calls) if isinstance(calls, list) else []:
            name = member(call, "function", "name")
            if isinstance(name, str) and name:
                used.tool = name
                return
