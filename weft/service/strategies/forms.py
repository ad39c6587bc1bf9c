"""A strategy's answer as the protocols write it: whole, and as server-sent events."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from weft.errors import RequestFailed
from weft.service.strategies.request import RESPONSES, StrategyRequest
from weft.types import Usage

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which clients skip."""

PIECE = 512
"""Characters in an event, of a text that is known as a whole."""


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """What a strategy answered.

    Attributes:
        text: the answer.
        cut: whether it ended for want of tokens: by `max_tokens`, or by a budget.
        usage: of all calls.
        about: how it came about; the `weft` member of the answer.
    """

    text: str
    cut: bool
    usage: Usage
    about: dict[str, Any]


class NoWholeAnswer(RequestFailed):
    """Engines failed in the midst of all that they answered.

    Attributes:
        result: the best of what came.
        about: what the error tells of it: the `weft` member of an answer, and the text.
    """

    def __init__(self, result: StrategyResult) -> None:
        super().__init__(
            "the engines broke off every answer that the strategy asked for; try again",
            502,
        )
        self.result = result
        self.about = result.about | {"text": result.text}


class StrategyForm(ABC):
    """One answer in one protocol."""

    def __init__(self, model: str, request: StrategyRequest) -> None:
        self.model, self.request = model, request
        self.created = int(time.time())

    @abstractmethod
    def whole(self, result: StrategyResult) -> dict[str, Any]:
        """The answer as one object."""

    @abstractmethod
    def start(self) -> bytes:
        """The events before the first text."""

    @abstractmethod
    def delta(self, text: str) -> bytes:
        """The event that adds to the text."""

    @abstractmethod
    def end(self, result: StrategyResult) -> bytes:
        """The events after the last text."""


class ChatForm(StrategyForm):
    """`/v1/chat/completions`."""

    def __init__(self, model: str, request: StrategyRequest) -> None:
        super().__init__(model, request)
        self.id = f"chatcmpl-{uuid4().hex}"

    def whole(self, result: StrategyResult) -> dict[str, Any]:
        """The completion."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": result.text},
            "logprobs": None,
            "finish_reason": _finish(result),
        }
        head = self._head("chat.completion")
        return head | {
            "choices": [choice],
            "usage": chat_usage(result.usage),
            "weft": result.about,
        }

    def start(self) -> bytes:
        """Whose turn it is."""
        return self._chunk({"role": "assistant", "content": ""})

    def delta(self, text: str) -> bytes:
        """More of the content."""
        return self._chunk({"content": text})

    def end(self, result: StrategyResult) -> bytes:
        """The finish, the usage if the client asks for it, and the end mark."""
        events = self._chunk({}, _finish(result), weft=result.about)
        if self.request.usage:
            last = self._head("chat.completion.chunk")
            events += _event(last | {"choices": [], "usage": chat_usage(result.usage)})
        return events + b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**self._head("chat.completion.chunk"), "choices": [choice], **more})


class ResponsesForm(StrategyForm):
    """`/v1/responses`."""

    def __init__(self, model: str, request: StrategyRequest) -> None:
        super().__init__(model, request)
        self.id, self.item = f"resp_{uuid4().hex}", f"msg_{uuid4().hex}"
        self._number = 0
        self._text: list[str] = []

    def whole(self, result: StrategyResult) -> dict[str, Any]:
        """The response."""
        status = "incomplete" if result.cut else "completed"
        return self._response(
            status,
            incomplete_details={"reason": "max_output_tokens"} if result.cut else None,
            output=[self._message(status, [_output_text(result.text)])],
            usage=responses_usage(result.usage),
            weft=result.about,
        )

    def start(self) -> bytes:
        """The response and its one message, still empty."""
        return (
            self._send("response.created", response=self._response("in_progress"))
            + self._send("response.in_progress", response=self._response("in_progress"))
            + self._send(
                "response.output_item.added",
                output_index=0,
                item=self._message("in_progress", []),
            )
            + self._within("response.content_part.added", part=_output_text(""))
        )

    def delta(self, text: str) -> bytes:
        """More of the message's text."""
        self._text.append(text)
        return self._within("response.output_text.delta", delta=text, logprobs=[])

    def end(self, result: StrategyResult) -> bytes:
        """The ends of the text, its part, the message and the response."""
        text = "".join(self._text)
        whole = self.whole(result)
        return (
            self._within("response.output_text.done", text=text, logprobs=[])
            + self._within("response.content_part.done", part=_output_text(text))
            + self._send("response.output_item.done", output_index=0, item=whole["output"][0])
            + self._send(f"response.{whole['status']}", response=whole)
        )

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        request = self.request
        response: dict[str, Any] = {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": request.max_tokens,
            "metadata": {},
            "model": self.model,
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "temperature": request.temperature,
            "tool_choice": "none",
            "tools": [],
            "top_p": request.top_p,
            "truncation": "disabled",
            "usage": None,
        }
        return response | more

    def _message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.item,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _within(self, kind: str, **data: Any) -> bytes:
        return self._send(kind, item_id=self.item, output_index=0, content_index=0, **data)

    def _send(self, kind: str, **data: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **data}
        self._number += 1
        return b"event: " + kind.encode() + b"\n" + _event(event)


def form_of(path: str, model: str, request: StrategyRequest) -> StrategyForm:
    """The form of an endpoint."""
    return (ResponsesForm if path == RESPONSES else ChatForm)(model, request)


def chat_usage(usage: Usage) -> dict[str, Any]:
    """The usage as chat completions tell it; cancelled tokens count as generated."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.generated,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def responses_usage(usage: Usage) -> dict[str, Any]:
    """The usage as responses tell it; cancelled tokens count as generated."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.generated,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def _finish(result: StrategyResult) -> str:
    return "length" if result.cut else "stop"


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
