"""Answers of chat completions, told as Anthropic's messages."""

from __future__ import annotations

from typing import Any, cast

import orjson

from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.events import member
from weft.service.protocols.messages import anthropic_error
from weft.service.protocols.protocol import Body
from weft.service.protocols.sealed import sealed
from weft.service.protocols.translation.call_order import arguments_of
from weft.service.protocols.translation.translation import (
    AnswerTeller,
    Event,
    calls_of,
    counts_of,
    finish_of,
    first_choice,
    new_id,
    refusal_of,
    text_of,
    thinking_of,
)

_SIGNATURE = "d2VmdA=="
"""Of thinking: there is nothing to be proved, but some clients drop what is not signed."""

_ENDS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class MessageTeller(AnswerTeller):
    """An answer of `/v1/messages`.

    Args:
        model: that is named.
        hides: whether the client wants no text of thinking. Then the signature keeps it.
    """

    def __init__(self, model: str, hides: bool = False) -> None:
        super().__init__()
        self._id, self._model = new_id("msg"), model
        self._hides, self._hidden = hides, ""
        self._index, self._open = -1, ""
        self._call = -1
        self._refused = False

    def whole(self, chat: Body) -> Body:
        """See AnswerTeller."""
        choice = first_choice(chat)
        message = cast(Body, member(choice, "message") or {})
        content: list[Body] = []
        if thought := thinking_of(message):
            shown, signature = ("", sealed(thought)) if self._hides else (thought, _SIGNATURE)
            content.append({"type": "thinking", "thinking": shown, "signature": signature})
        text, refusal, calls = text_of(message), refusal_of(message), calls_of(message)
        self._refused = bool(refusal)
        if text or not (calls or refusal):
            content.append({"type": "text", "text": text})
        if refusal:
            content.append({"type": "text", "text": refusal})
        for call in calls:
            given = _read(arguments_of(call))
            content.append({**_tool_use(call), "input": given})
        reason, sequence = self._end(finish_of(choice), bool(calls))
        return {
            **self._head(content),
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": _usage(cast(Body, chat.get("usage") or {})),
        }

    def opening(self) -> list[Event]:
        """See AnswerTeller."""
        message = {**self._head([]), "stop_reason": None, "stop_sequence": None}
        message["usage"] = {"input_tokens": 0, "output_tokens": 0}
        return [{"type": "message_start", "message": message}]

    def piece(self, delta: Body) -> list[Event]:
        """See AnswerTeller."""
        events: list[Event] = []
        if thought := thinking_of(delta):
            block = {"type": "thinking", "thinking": "", "signature": ""}
            events += self._block("thinking", block)
            if self._hides:
                self._hidden += thought
            else:
                events.append(self._delta({"type": "thinking_delta", "thinking": thought}))
        self._refused = self._refused or bool(refusal_of(delta))
        if text := text_of(delta) or refusal_of(delta):
            events += self._block("text", {"type": "text", "text": ""})
            events.append(self._delta({"type": "text_delta", "text": text}))
        for call in calls_of(delta):
            at: int = call["index"]
            if at != self._call:
                self._call = at
                events += self._block(f"call {at}", {**_tool_use(call), "input": {}})
            if given := arguments_of(call):
                events.append(self._delta({"type": "input_json_delta", "partial_json": given}))
        return events

    def closing(self, finish: str, usage: Body) -> list[Event]:
        """See AnswerTeller."""
        events = self._block("", None)
        if self._index < 0:
            events += self._block("text", {"type": "text", "text": ""}) + self._block("", None)
        reason, sequence = self._end(finish, self._call >= 0)
        ended = {"stop_reason": reason, "stop_sequence": sequence}
        events.append({"type": "message_delta", "delta": ended, "usage": _usage(usage)})
        return [*events, {"type": "message_stop"}]

    def failing(self, words: ErrorWords) -> list[Event]:
        """See AnswerTeller."""
        return [anthropic_error(words)]

    def _end(self, finish: str, called: bool) -> tuple[str, str | None]:
        """Why the answer ended, and the stop sequence that ended it."""
        return ("refusal", None) if self._refused and not called else _end(finish, called)

    def _head(self, content: list[Body]) -> Body:
        head = {"id": self._id, "type": "message", "role": "assistant", "model": self._model}
        return {**head, "content": content}

    def _block(self, kind: str, block: Body | None) -> list[Event]:
        """End the block that is open and begin another, if that is another one."""
        if self._open == kind:
            return []
        events: list[Event] = []
        if self._open:
            if self._open == "thinking":
                signature = sealed(self._hidden) if self._hides else _SIGNATURE
                events.append(self._delta({"type": "signature_delta", "signature": signature}))
                self._hidden = ""
            events.append({"type": "content_block_stop", "index": self._index})
        self._open = kind
        if block is not None:
            self._index += 1
            start = {"type": "content_block_start", "index": self._index}
            events.append({**start, "content_block": block})
        return events

    def _delta(self, delta: Body) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def _tool_use(call: Body) -> Body:
    name = member(call, "function", "name")
    return {"type": "tool_use", "id": call.get("id") or new_id("toolu"), "name": name or ""}


def _read(arguments: str) -> Any:
    try:
        found: Any = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}
    return cast(Body, found) if isinstance(found, dict) else {}


def _end(finish: str, called: bool) -> tuple[str, str | None]:
    finish, _, met = finish.partition(":")
    if met:
        return "stop_sequence", met
    if called and finish in ("stop", ""):
        return "tool_use", None
    return _ENDS.get(finish, "end_turn"), None


def _usage(usage: Body) -> Body:
    prompt, cached, generated, _ = counts_of(usage)
    return {
        "input_tokens": prompt - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": generated,
    }
