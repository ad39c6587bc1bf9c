"""What models answered, as chat completions tell it: whole, and in pieces."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from weft.programs.calls.completion import Completion
from weft.types import TokenLogprob, Usage

_FINISHES = ("stop", "length", "tool_calls", "content_filter")
DONE = b"data: [DONE]\n\n"


class ChatCompletion:
    """An answer in OpenAI's form.

    Args:
        model: as it is called where it was asked for.
    """

    def __init__(self, model: str) -> None:
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, answers: Sequence[Completion[Any]]) -> dict[str, Any]:
        """Answers to one prompt, as one object."""
        used = sum((one.usage for one in answers), Usage())
        choices = [
            {
                "index": at,
                "message": {"role": "assistant", **_message(one)},
                "logprobs": _logprobs(one.logprobs),
                "finish_reason": _finish(one),
            }
            for at, one in enumerate(answers)
        ]
        return {**self._head, "object": "chat.completion", "choices": choices, "usage": _used(used)}

    def begin(self) -> bytes:
        """The event before the first text."""
        return self._chunk({"role": "assistant", "content": ""})

    def more(self, text: str) -> bytes:
        """The event that adds to the text."""
        return self._chunk({"content": text})

    def end(self, answer: Completion[Any], rest: str, usage: bool) -> bytes:
        """The events behind all text that was certain while it came.

        Args:
            answer: the whole.
            rest: of its text.
            usage: whether the usage is wanted.
        """
        events = self.more(rest) if rest else b""
        for at, call in enumerate(_calls(answer)):
            events += self._chunk({"tool_calls": [{"index": at, **call}]})
        events += self._chunk({}, _finish(answer), _logprobs(answer.logprobs))
        if usage:
            events += self._event(choices=[], usage=_used(answer.usage))
        return events + DONE

    def _chunk(
        self, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._event(choices=[choice])

    def _event(self, **fields: Any) -> bytes:
        said = {**self._head, "object": "chat.completion.chunk", **fields}
        return b"data: " + json.dumps(said).encode() + b"\n\n"


def _message(answer: Completion[Any]) -> dict[str, Any]:
    calls = _calls(answer)
    said: dict[str, Any] = {"content": answer.text or (None if calls else "")}
    if calls:
        said["tool_calls"] = calls
    if answer.reasoning:
        said["reasoning_content"] = answer.reasoning
    return said


def _calls(answer: Completion[Any]) -> list[dict[str, Any]]:
    """The calls as the model wrote them: the framework checks them."""
    return [
        {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.text}}
        for one in answer.prompt.calls
    ]


def _finish(answer: Completion[Any]) -> str:
    if answer.prompt.calls and answer.finish_reason == "stop":
        return "tool_calls"
    return answer.finish_reason if answer.finish_reason in _FINISHES else "stop"


def _logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    if not tokens:
        return None
    content = [
        {
            **_logprob(one.token, one.logprob),
            "top_logprobs": [_logprob(token, value) for token, value in one.top.items()],
        }
        for one in tokens
    ]
    return {"content": content, "refusal": None}


def _logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}


def _used(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.generated,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
