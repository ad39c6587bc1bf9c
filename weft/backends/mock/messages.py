"""Anthropic's messages, as vLLM and the mock server read and write them."""

from __future__ import annotations

import json
from typing import Any

from weft.backends.mock.forms import (
    AnswerForm,
    called,
    merged,
    named_event,
    objects,
    role_of,
    text_of,
    unique,
)
from weft.backends.scripted import script
from weft.errors import RequestRejected
from weft.types import Delta, Message

BILLING = "x-anthropic-billing-header"
"""How a system text begins that vLLM leaves out of the prompt."""


class MessagesAnswer(AnswerForm):
    """An answer of `/v1/messages`."""

    def __init__(self, id: str, model: str, body: dict[str, Any], prompt: int) -> None:
        super().__init__(id, model, body, prompt)
        self._parts = script.Parts()
        self._block, self._open, self._called = -1, "", False

    def opening(self) -> bytes:
        """The message without content."""
        message: dict[str, Any] = {
            **self._head(),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self.prompt, "output_tokens": 0},
        }
        return named_event({"type": "message_start", "message": message})

    def events(self, delta: Delta) -> bytes:
        """Events of the content's blocks, of which each is begun and ended."""
        events: list[dict[str, Any]] = []
        for kind, piece in self._parts.feed(delta.text):
            if kind == "call":
                self._called = True
                events += self._begin("arguments", call_block(piece, {}))
                continue
            if kind == "text":
                if self._open != "text":
                    events += self._begin("text", {"type": "text", "text": ""})
                change = {"type": "text_delta", "text": piece}
            else:
                change = {"type": "input_json_delta", "partial_json": piece}
            events.append({"type": "content_block_delta", "index": self._block, "delta": change})
        return b"".join(map(named_event, events))

    def closing(self, last: Delta, generated: int) -> bytes:
        """The end of the last block and of the message."""
        reason, sequence = self._reason(last)
        events = [
            *self._end(),
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": sequence},
                "usage": usage(last, generated),
            },
            {"type": "message_stop"},
        ]
        return b"".join(map(named_event, events))

    def whole(self, delta: Delta) -> dict[str, Any]:
        """The answer."""
        text, calls = script.said(delta.text)
        self._called = bool(calls)
        content: list[dict[str, Any]] = [
            {
                "type": "tool_use",
                "id": unique("toolu_"),
                "name": call.name,
                "input": read(call.text),
            }
            for call in calls
        ]
        if text or not calls:
            content.insert(0, {"type": "text", "text": text})
        reason, sequence = self._reason(delta)
        ends = {"stop_reason": reason, "stop_sequence": sequence}
        return {**self._head(), "content": content, **ends, "usage": usage(delta, delta.count)}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.model}

    def _begin(self, kind: str, block: dict[str, Any]) -> list[dict[str, Any]]:
        events = self._end()
        self._block, self._open = self._block + 1, kind
        event = {"type": "content_block_start", "index": self._block, "content_block": block}
        return [*events, event]

    def _end(self) -> list[dict[str, Any]]:
        if not self._open:
            return []
        self._open = ""
        return [{"type": "content_block_stop", "index": self._block}]

    def _reason(self, last: Delta) -> tuple[str, str | None]:
        if last.finish_reason == "length":
            return "max_tokens", None
        if self._called:
            return "tool_use", None
        if not last.ended:
            return "stop_sequence", self.body["stop_sequences"][0]
        return "end_turn", None


def call_block(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The block of a call."""
    return {"type": "tool_use", "id": unique("toolu_"), "name": name, "input": given}


def read(arguments: str) -> dict[str, Any]:
    """The arguments of a call; none if they were cut short."""
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def usage(last: Delta, generated: int) -> dict[str, Any]:
    """The usage; what was cached does not count as input."""
    cached = last.cached_tokens or 0
    return {
        "input_tokens": (last.prompt_tokens or 0) - cached,
        "output_tokens": generated,
        "cache_read_input_tokens": cached,
    }


def conversation(body: dict[str, Any]) -> tuple[Message, ...]:
    """The conversation in a body; billing headers are left out."""
    if not body.get("messages"):
        raise RequestRejected("messages must be a list of at least one message")
    found: list[Message] = []
    system = body.get("system")
    if system:
        parts = system if isinstance(system, str) else objects(system, "system")
        text = parts if isinstance(parts, str) else without_billing(parts)
        found.append(Message("system", text))
    for one in objects(body["messages"], "messages"):
        role, content = role_of(one), one.get("content")
        if role == "tool":
            raise RequestRejected("role must be user, assistant or system, not 'tool'")
        if isinstance(content, str) or content is None:
            found.append(Message(role, content or ""))
            continue
        text = ""
        for part in objects(content, "content"):
            if part.get("type") == "tool_result":
                found.append(Message("tool", text_of(part.get("content"))))
            elif part.get("type") == "tool_use":
                text += called(part.get("name"), part.get("input"))
            else:
                text += text_of([part])
        if text or role != "user":
            found.append(Message(role, text))
    return merged(found)


def without_billing(parts: list[dict[str, Any]]) -> str:
    """The text of a system prompt."""
    return text_of([part for part in parts if not str(part.get("text")).startswith(BILLING)])


def messages_of(body: dict[str, Any]) -> tuple[Message, ...]:
    """The conversation in a body that asks for an answer, which must say how long."""
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or limit < 1:
        raise RequestRejected(f"max_tokens must be a whole number of at least 1, not {limit!r}")
    return conversation(body)
