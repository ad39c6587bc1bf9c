"""The forms of vLLM's HTTP interface that the mock server reads and writes."""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import JSONResponse, Response

from weft.backends import script
from weft.backends.scripted import ScriptedEngine
from weft.errors import ContextExceeded, EngineError, EngineUnavailable, UsageError, WeftError
from weft.types import Delta, Message, Request, Sampling


def completion_choice(delta: Delta, request: Request) -> dict[str, Any]:
    """A choice of `/v1/completions`: as in vLLM, the token that ends is among the ids."""
    stops = request.sampling.stop
    matched = next((stop for stop in stops if delta.text.endswith(stop)), None)
    choice: dict[str, Any] = {
        "index": 0,
        "text": delta.text,
        "token_ids": [*delta.tokens, *([script.END] if delta.ended else [])],
        "finish_reason": delta.finish_reason,
        "stop_reason": None if delta.ended or delta.finish_reason != "stop" else matched or stops,
    }
    if isinstance(choice["stop_reason"], tuple):
        choice["stop_reason"] = stops[0]
    if request.ask:
        top = {
            f"token_id:{token}": max(value, -9999.0)
            for token, value in zip(request.ask, delta.asked, strict=True)
        }
        choice["logprobs"] = {"tokens": [""], "token_logprobs": [0.0], "top_logprobs": [top]}
    elif delta.logprobs:
        choice["logprobs"] = {
            "tokens": [one.token for one in delta.logprobs],
            "token_logprobs": [one.logprob for one in delta.logprobs],
            "top_logprobs": [one.top for one in delta.logprobs],
        }
    return choice


def chat_choice(delta: Delta, streamed: bool, scores: dict[str, float]) -> dict[str, Any]:
    """A choice of `/v1/chat/completions`; what is scored shows as the first alternatives."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": delta.finish_reason}
    choice["delta" if streamed else "message"] = {"role": "assistant", "content": delta.text}
    if delta.logprobs:
        content: list[dict[str, Any]] = [
            {"token": one.token, "logprob": one.logprob, "bytes": None, "top_logprobs": []}
            for one in delta.logprobs
        ]
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        content[0]["top_logprobs"] = [
            {"token": text, "logprob": math.log(p), "bytes": None} for text, p in ranked if p > 0
        ]
        choice["logprobs"] = {"content": content}
    return choice


def usage(deltas: list[Delta]) -> dict[str, Any]:
    """The usage of a whole answer."""
    prompt, generated = deltas[-1].prompt_tokens or 0, sum(delta.count for delta in deltas)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": deltas[-1].cached_tokens},
    }


def failed(error: WeftError, engine: ScriptedEngine) -> Response:
    """The answer for an error of the engine."""
    if isinstance(error, ContextExceeded):
        return failure(400, f"This model's maximum context length is {engine.context} tokens.")
    if isinstance(error, EngineUnavailable):
        return failure(500, str(error))
    return failure(400 if isinstance(error, (EngineError, UsageError)) else 500, str(error))


def failure(status: int, message: str) -> Response:
    """An error in vLLM's form."""
    kind = "BadRequestError" if status < 500 else "InternalServerError"
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": None, "code": status}}, status
    )


def messages_of(body: dict[str, Any]) -> tuple[Message, ...]:
    """The conversation in a body."""
    return tuple(Message(one["role"], one["content"]) for one in body["messages"])


def sampling(body: dict[str, Any], logprobs: int | None) -> Sampling:
    """The settings in a body."""
    stop = body.get("stop") or ()
    return Sampling(
        max_tokens=body.get("max_tokens") or body.get("max_completion_tokens"),
        temperature=body.get("temperature", 1.0),
        top_p=body.get("top_p", 1.0),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        seed=body.get("seed"),
        logprobs=logprobs,
    )
