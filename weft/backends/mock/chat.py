"""ChatAnswer completions and completions, as the mock server reads and writes them."""

from __future__ import annotations

import math
from typing import Any

from weft.backends.mock.forms import (
    AnswerForm,
    called,
    data,
    merged,
    objects,
    role_of,
    text_of,
    unique,
    usage,
)
from weft.backends.scripted import script
from weft.backends.scripted.vocabulary import END
from weft.errors import RequestRejected
from weft.types import Delta, Message


class CompletionAnswer(AnswerForm):
    """An answer of `/v1/completions`, which has token ids: the one that ends it among them.

    Args:
        asked: tokens whose log-probabilities were asked for.
        stops: strings that end the answer.
    """

    ask: tuple[int, ...] = ()
    stops: tuple[str, ...] = ()

    def events(self, delta: Delta) -> bytes:
        """One event for a delta."""
        return data(self._head() | {"choices": [self._choice(delta)]})

    def closing(self, last: Delta, generated: int) -> bytes:
        """The usage, if wanted, and the end."""
        return ending(self.body, self._head(), last, generated)

    def whole(self, delta: Delta) -> dict[str, Any]:
        """The answer."""
        head = self._head() | {"choices": [self._choice(delta)]}
        return head | {"usage": usage(delta, delta.count)}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "object": "text_completion", "created": 0, "model": self.model}

    def _choice(self, delta: Delta) -> dict[str, Any]:
        matched = next((stop for stop in self.stops if delta.text.endswith(stop)), None)
        stopped = delta.finish_reason == "stop" and not delta.ended
        choice: dict[str, Any] = {
            "index": 0,
            "text": delta.text,
            # What is scored is generated: one token, as vLLM tells it.
            "token_ids": [*(delta.tokens or self.ask[:1]), *([END] if delta.ended else [])],
            "finish_reason": delta.finish_reason,
            "stop_reason": (matched or self.stops[0]) if stopped else None,
        }
        if self.ask:
            top = {
                f"token_id:{token}": max(value, -9999.0)
                for token, value in zip(self.ask, delta.ask_logprobs, strict=True)
            }
            choice["logprobs"] = {"tokens": [""], "token_logprobs": [0.0], "top_logprobs": [top]}
        elif delta.logprobs:
            choice["logprobs"] = {
                "tokens": [one.token for one in delta.logprobs],
                "token_logprobs": [one.logprob for one in delta.logprobs],
                "top_logprobs": [one.top for one in delta.logprobs],
            }
        return choice


class ChatAnswer(AnswerForm):
    """An answer of `/v1/chat/completions`; what is scored shows as the first alternatives."""

    scores: dict[str, float]

    def __init__(self, id: str, model: str, body: dict[str, Any], prompt: int) -> None:
        super().__init__(id, model, body, prompt)
        self.scores = {}
        self._parts = script.Parts()
        self._calls = 0

    def opening(self) -> bytes:
        """The role."""
        return self._chunk({"role": "assistant", "content": ""})

    def events(self, delta: Delta) -> bytes:
        """One event for each part, and one for the end, if it has come."""
        chunks: list[dict[str, Any]] = []
        for kind, piece in self._parts.feed(delta.text):
            if kind == "text":
                chunks.append({"content": piece})
                continue
            if kind == "call":
                function, new = {"name": piece, "arguments": ""}, True
                self._calls += 1
            else:
                function, new = {"arguments": piece}, False
            call: dict[str, Any] = {"index": self._calls - 1, "function": function}
            if new:
                call |= {"id": unique("chatcmpl-tool-"), "type": "function"}
            chunks.append({"tool_calls": [call]})
        if delta.finish_reason is None:
            return b"".join(self._chunk(chunk, delta) for chunk in chunks)
        last = chunks.pop() if chunks else {"content": ""}
        first = b"".join(self._chunk(chunk) for chunk in chunks)
        return first + self._chunk(last, delta, self._finish(delta))

    def closing(self, last: Delta, generated: int) -> bytes:
        """The usage, if wanted, and the end."""
        return ending(self.body, self._head(".chunk"), last, generated)

    def whole(self, delta: Delta) -> dict[str, Any]:
        """The answer."""
        text, calls = script.said(delta.text)
        self._calls = len(calls)
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [
                {
                    "id": unique("chatcmpl-tool-"),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.text},
                }
                for call in calls
            ]
        else:
            message["content"] = text
        choice = {"index": 0, "message": message, "finish_reason": self._finish(delta)}
        choice |= self._logprobs(delta)
        return self._head() | {"choices": [choice], "usage": usage(delta, delta.count)}

    def _finish(self, delta: Delta) -> str | None:
        return (
            "tool_calls" if self._calls and delta.finish_reason == "stop" else delta.finish_reason
        )

    def _head(self, kind: str = "") -> dict[str, Any]:
        name = f"chat.completion{kind}"
        return {"id": self.id, "object": name, "created": 0, "model": self.model}

    def _chunk(
        self, change: dict[str, Any], delta: Delta | None = None, finish: str | None = None
    ) -> bytes:
        choice = {"index": 0, "delta": change, "finish_reason": finish}
        if delta is not None:
            choice |= self._logprobs(delta)
        return data(self._head(".chunk") | {"choices": [choice]})

    def _logprobs(self, delta: Delta) -> dict[str, Any]:
        if not delta.logprobs:
            return {}
        content: list[dict[str, Any]] = [
            {"token": one.token, "logprob": one.logprob, "bytes": None, "top_logprobs": []}
            for one in delta.logprobs
        ]
        ranked = sorted(self.scores.items(), key=lambda item: -item[1])
        content[0]["top_logprobs"] = [
            {"token": text, "logprob": math.log(p), "bytes": None} for text, p in ranked if p > 0
        ]
        return {"logprobs": {"content": content}}


def ending(body: dict[str, Any], head: dict[str, Any], last: Delta, generated: int) -> bytes:
    """How a stream of either endpoint ends."""
    options: dict[str, Any] = body.get("stream_options") or {}
    end = b"data: [DONE]\n\n"
    if not options.get("include_usage"):
        return end
    return data(head | {"choices": [], "usage": usage(last, generated)}) + end


def conversation(body: dict[str, Any]) -> tuple[Message, ...]:
    """The conversation in the body of a chat completion."""
    if not body.get("messages"):
        raise RequestRejected("messages must be a list of at least one message")
    found: list[Message] = []
    for one in objects(body["messages"], "messages"):
        text = text_of(one.get("content"))
        for call in objects(one.get("tool_calls") or [], "tool_calls"):
            function: dict[str, Any] = call.get("function") or {}
            text += called(function.get("name"), function.get("arguments"))
        found.append(Message(role_of(one), text))
    return merged(found)
