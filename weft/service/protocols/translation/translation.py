"""The contract of a translation, and the reading of chat completions' streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, cast
from uuid import uuid4

import orjson

from weft.errors import RequestFailed, UsageError
from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.errors.told_errors import told_error
from weft.service.protocols.events import LONGEST, data_of, member, split, tokens, whole_events
from weft.service.protocols.protocol import Body
from weft.service.protocols.translation.call_order import CallOrder

CHAT = "/v1/chat/completions"
Event = dict[str, Any]


class AnswerTeller(ABC):
    """One answer on its way back: from chat completions to what the client speaks."""

    def __init__(self) -> None:
        self._tail = bytearray()  # of an event that is not whole
        self._over = self._begun = False
        self._finish = ""
        self._usage: Body = {}
        self._order = CallOrder()

    @abstractmethod
    def whole(self, chat: Body) -> Body:
        """A whole answer."""

    @abstractmethod
    def opening(self) -> list[Event]:
        """The events before the first of the answer."""

    @abstractmethod
    def piece(self, delta: Body) -> list[Event]:
        """The events of one delta."""

    @abstractmethod
    def closing(self, finish: str, usage: Body) -> list[Event]:
        """The events of the end.

        Args:
            finish: why the answer ended, in chat's words; empty if it is not said.
            usage: as chat tells it; empty if it is not told.
        """

    @abstractmethod
    def failing(self, words: ErrorWords) -> list[Event]:
        """The events of an answer that can't go on."""

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes of a stream, cut anywhere, as events for the client.

        Raises:
            RequestFailed: an event is too long.
        """
        whole = whole_events(self._tail, chunk)
        if len(self._tail) > LONGEST:
            raise RequestFailed("the engine's answer can't be understood: an event has no end")
        return encoded(found for event in split(whole) for found in self._read(event))

    def end(self) -> bytes:
        """What is left to be sent when the engine's stream is over: nothing, if it broke off."""
        events = self._read(bytes(self._tail))
        if self._finish and not self._over:  # some say no more than why it ended
            events += self._closed()
        return encoded(events)

    def _read(self, event: bytes) -> list[Event]:
        data = data_of(event)
        if not data or self._over:
            return []
        if data == b"[DONE]":
            return [*self._opened(), *self._closed()]
        try:
            value: Any = orjson.loads(data)
        except orjson.JSONDecodeError:
            return []
        if isinstance(value, dict) and (words := told_error(cast(Body, value))):
            self._over = True
            return self.failing(words)
        if isinstance(usage := member(value, "usage"), dict):
            self._usage = cast(Body, usage)
        events = self._opened()
        choices = member(value, "choices")
        for choice in cast(list[Any], choices) if isinstance(choices, list) else []:
            found = member(choice, "delta") or member(choice, "message")
            if isinstance(found, dict):
                delta = cast(Body, found)
                if calls := calls_of(delta):
                    delta = {**delta, "tool_calls": self._order.take(calls)}
                events += self.piece(delta)
            self._finish = finish_of(choice) or self._finish
        return events

    def _closed(self) -> list[Event]:
        self._over = True
        rest = self._order.rest()
        events = self.piece({"tool_calls": rest}) if rest else []
        return [*events, *self.closing(self._finish, self._usage)]

    def _opened(self) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return self.opening()


class Translation(ABC):
    """One endpoint, told in chat completions. Stateless.

    Attributes:
        path: of the endpoint.
        target: what engines are asked at in its place.
    """

    path: str
    target: str = CHAT

    @abstractmethod
    def asked(self, body: Body) -> Body:
        """The body of a request as one of chat completions.

        Raises:
            UsageError: chat completions can't say it.
        """

    @abstractmethod
    def answer(self, body: Body) -> AnswerTeller:
        """What takes the answer to such a body back."""


def encoded(events: Iterable[Event]) -> bytes:
    """Server-sent events, each under the name of its type."""
    return b"".join(
        [b"event: %b\ndata: %b\n\n" % (one["type"].encode(), orjson.dumps(one)) for one in events]
    )


def cannot(why: str) -> UsageError:
    """What chat completions can't say."""
    return UsageError(f"the engine speaks only chat completions, and {why}")


def first_choice(chat: Body) -> Any:
    """The choice of a whole answer; an empty object if there is none."""
    choices = chat.get("choices")
    return cast(list[Any], choices)[0] if isinstance(choices, list) and choices else {}


def finish_of(choice: Any) -> str:
    """Why a choice ended, with the stop string that was met behind a colon, if it is told."""
    finish, met = member(choice, "finish_reason"), member(choice, "stop_reason")
    if finish == "stop" and isinstance(met, str) and met:
        return f"stop:{met}"
    return finish if isinstance(finish, str) else ""


def thinking_of(message: Body) -> str:
    """The thinking in a message or a delta, under either of its names, or among its parts."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(found := message.get(name), str) and found:
            return found
    return "".join(
        [_joined(member(part, "thinking")) for part in _parts(message) if _is(part, "thinking")]
    )


def text_of(message: Body) -> str:
    """The text of a message or a delta, which some engines give in parts."""
    found = message.get("content")
    if isinstance(found, str):
        return found
    return "".join([_joined(member(part, "text")) for part in _parts(message)])


def _parts(message: Body) -> list[Any]:
    content = message.get("content")
    return cast(list[Any], content) if isinstance(content, list) else []


def _is(part: Any, kind: str) -> bool:
    return member(part, "type") == kind


def _joined(text: Any) -> str:
    """A text, or one in parts."""
    if isinstance(text, list):
        return "".join([_joined(member(part, "text")) for part in cast(list[Any], text)])
    return text if isinstance(text, str) else ""


def refusal_of(message: Body) -> str:
    """What a model says that will not answer, in a message or a delta."""
    found = message.get("refusal")
    return found if isinstance(found, str) else ""


def calls_of(message: Body) -> list[Body]:
    """The calls of tools in a message or a delta."""
    calls = message.get("tool_calls")
    found = cast(list[Any], calls) if isinstance(calls, list) else []
    return [cast(Body, call) for call in found if isinstance(call, dict)]


def counts_of(usage: Body) -> tuple[int, int, int, int]:
    """Tokens of the prompt, of those the cached, of the answer, and of those the thinking."""
    cached = tokens(member(usage, "prompt_tokens_details", "cached_tokens"))
    thought = tokens(member(usage, "completion_tokens_details", "reasoning_tokens"))
    prompt, generated = tokens(usage.get("prompt_tokens")), tokens(usage.get("completion_tokens"))
    return prompt, min(cached, prompt), generated, thought


def system_first(texts: list[str], messages: list[Body]) -> list[Body]:
    """Messages behind one of the system, for many templates take no more than one."""
    text = "\n\n".join(text for text in texts if text)
    return [{"role": "system", "content": text}, *messages] if text else messages


def plain(parts: list[Body]) -> str | list[Body]:
    """Content as text, if it is all text."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def new_id(kind: str) -> str:
    """An id as clients know them."""
    return f"{kind}_{uuid4().hex}"
