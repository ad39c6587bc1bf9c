"""vLLM's HTTP interface as data: request bodies, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from weft.errors import RequestFailed, Unsupported
from weft.types import Delta, FinishReason, Message, Request, Sampling, TokenLogprob

KEEP = "kv_transfer_params"
"""The field in which KV connectors are told what to do, such as that of leases."""

FLOOR = -9999.0
"""What vLLM writes for a log-probability of minus infinity."""


def completion_body(
    request: Request,
    tokens: tuple[int, ...],
    context: int | None,
    *,
    stops: bool = True,
    priority: bool = False,
) -> dict[str, Any]:
    """The body of `POST /v1/completions` for a prompt of token ids.

    Args:
        request: what is asked.
        tokens: the prompt.
        context: most tokens of prompt and answer.
        stops: whether the server is to look for stop strings.
        priority: whether the server schedules by priority.
    """
    how = request.sampling
    room = how.max_tokens
    if room is None and context is not None:
        room = context - len(tokens)
    body: dict[str, Any] = {
        "model": request.adapter or request.model,
        "prompt": tokens,
        "max_tokens": room,
        "temperature": how.temperature,
        "top_p": how.top_p,
        "return_token_ids": True,
    }
    if request.cache_salt:
        body["cache_salt"] = request.cache_salt
    if priority:
        body["priority"] = request.priority
    if request.keep is not None:
        body[KEEP] = request.keep
    if request.ask:
        return body | ask_fields(request)
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    if how.stop and stops:
        body |= {"stop": how.stop, "include_stop_str_in_output": True}
    if how.seed is not None:
        body["seed"] = how.seed
    if how.logprobs is not None:
        body["logprobs"] = how.logprobs
    if how.ignore_eos:
        body["ignore_eos"] = True
    if how.tools:
        body["skip_special_tokens"] = False  # some models begin their calls with one
    body |= further_fields(how)
    if how.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": how.schema},
        }
    return body | {k: v for k, v in (how.extra or {}).items() if k != TEMPLATE}


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation as messages of chat completions."""
    return [_chat_message(one) for one in messages]


def _chat_message(one: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": one.role, "content": _content(one)}
    if one.calls:
        said["content"] = one.content or None
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.text)},
            }
            for call in one.calls
        ]
    if one.call:
        said["tool_call_id"] = one.call
    return said


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A turn's text; with images and files, its parts."""
    if not message.media:
        return message.content
    parts: list[dict[str, Any]] = []
    if message.content:
        parts.append({"type": "text", "text": message.content})
    for one in message.media:
        if one.kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": one.url}})
        else:
            parts.append({"type": "file", "file": {"filename": one.name, "file_data": one.url}})
    return parts


def _arguments(text: str) -> str:
    """Arguments as servers take them back, who refuse what is no JSON object."""
    try:
        return text if isinstance(json.loads(text), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


TEMPLATE = "chat_template_kwargs"
"""The field of a body that holds settings of the model's chat template."""


def further_fields(how: Sampling) -> dict[str, Any]:
    """The settings that few calls need, as fields of a body; those given alone."""
    fields = ("top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
    return {name: value for name in fields if (value := getattr(how, name)) is not None}


def template_settings(how: Sampling) -> dict[str, Any]:
    """Settings of the model's chat template."""
    settings: dict[str, Any] = {}
    if how.thinking is not None:
        # Templates call their switch one or the other.
        settings |= {"enable_thinking": how.thinking, "thinking": how.thinking}
    if how.reasoning_effort is not None:
        settings["reasoning_effort"] = how.reasoning_effort
    if how.tools:
        settings[TOOLS] = how.tools
    return settings | ((how.extra or {}).get(TEMPLATE) or {})


TOOLS = "tools"
"""The setting of the template, and the field of a body, that holds the tools."""


def ask_fields(request: Request) -> dict[str, Any]:
    """What makes a body ask for the log-probabilities of given tokens, and nothing else."""
    if request.sampling.max_tokens not in (1, None):
        raise Unsupported("a request with `ask` generates one token; leave max_tokens at 1")
    return {
        "max_tokens": 1,
        "temperature": 0.0,
        "top_p": 1.0,
        "logprobs": 0,
        "logprob_token_ids": list(dict.fromkeys(request.ask)),
        # Two ids may decode to one text, so the answer is asked for by id.
        "return_tokens_as_token_ids": True,
    }


def delta(choice: dict[str, Any], alternatives: int | None) -> Delta:
    """One streamed choice as a delta; its usage comes later."""
    ids: list[int] = choice.get("token_ids") or []
    finish = choice.get("finish_reason")
    logprobs: tuple[TokenLogprob, ...] = ()
    if alternatives is not None and choice.get("logprobs"):
        logprobs = token_logprobs(choice["logprobs"], alternatives)
    ended = finish == "stop" and not isinstance(choice.get("stop_reason"), str)
    kept = len(ids) - 1 if ended and ids else len(ids)  # less the end-of-answer token
    return Delta(
        text=choice["text"],
        tokens=tuple(ids[:kept]),
        count=len(ids),
        logprobs=logprobs[:kept],
        finish_reason=finish_reason(finish),
        ended=ended,
        end=logprobs[kept] if kept < min(len(ids), len(logprobs)) else None,
    )


def end_token(choice: dict[str, Any], read: Delta) -> int | None:
    """The token that ended the answer, which `delta` leaves out."""
    ids: list[int] = choice.get("token_ids") or []
    return ids[-1] if read.ended and ids else None


def finish_reason(reason: str | None) -> FinishReason | None:
    """Our name for vLLM's."""
    if reason is None or reason == "length":
        return reason
    if reason in ("abort", "error"):
        raise RequestFailed(f"the engine gave the request up ({reason}); it can be tried again")
    return reason


def token_logprobs(reported: dict[str, Any], alternatives: int) -> tuple[TokenLogprob, ...]:
    """One entry for each token."""
    tops: list[dict[str, float] | None] = reported["top_logprobs"]
    return tuple(
        TokenLogprob(token, natural(value), {k: natural(v) for k, v in (top or {}).items()})
        if alternatives
        else TokenLogprob(token, natural(value))
        for token, value, top in zip(
            reported["tokens"], reported["token_logprobs"], tops, strict=True
        )
    )


def natural(value: float | None) -> float:
    """A reported log-probability, with vLLM's stand-in for minus infinity undone."""
    return float("-inf") if value is None or value <= FLOOR else value


def ask_logprobs(choice: dict[str, Any], ask: tuple[int, ...]) -> tuple[float, ...]:
    """The log-probabilities asked for, in the order of `ask`."""
    top: dict[str, float] = choice["logprobs"]["top_logprobs"][0] or {}
    return tuple(natural(top.get(f"token_id:{token}")) for token in ask)


def used(usage: dict[str, Any]) -> tuple[int | None, int | None]:
    """Prompt tokens, and those of them found in the cache, as far as they are reported."""
    details: dict[str, Any] = usage.get("prompt_tokens_details") or {}
    return usage.get("prompt_tokens"), details.get("cached_tokens")
