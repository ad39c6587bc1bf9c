"""A request in the words of OpenAI's chat completions, and what scores an answer holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from weft.backends.http.wire import (
    TEMPLATE,
    TOOLS,
    chat_messages,
    further_fields,
    template_settings,
)
from weft.backends.openai.reading import finish_of, text_of
from weft.backends.openai.usage import counts
from weft.types import Delta, Request

TOP = 20
"""Most alternatives that the protocol reports at a token."""


def fields_of(request: Request) -> dict[str, Any]:
    """The request in OpenAI's words."""
    how = request.sampling
    fields: dict[str, Any] = {
        "model": request.adapter or request.model,
        "messages": chat_messages(request.messages),
        "temperature": how.temperature,
        "top_p": how.top_p,
    }
    if how.max_tokens is not None:
        fields["max_tokens"] = how.max_tokens
    if how.seed is not None:
        fields["seed"] = how.seed
    if how.logprobs is not None:
        fields |= {"logprobs": True}
        if how.logprobs:
            fields["top_logprobs"] = how.logprobs
    fields |= further_fields(how)
    if how.reasoning_effort is not None:
        fields["reasoning_effort"] = how.reasoning_effort
    if how.tools:
        fields[TOOLS] = how.tools
        if how.tool_choice is not None:
            fields["tool_choice"] = _choice(how.tool_choice)
    if how.thinking is not None or TEMPLATE in (how.extra or {}):
        settings = template_settings(how)
        settings.pop(TOOLS, None)
        fields[TEMPLATE] = settings
    return fields | {k: v for k, v in (how.extra or {}).items() if k != TEMPLATE}


def _choice(choice: str) -> str | dict[str, Any]:
    """Which tool is to be called; a tool's name stands for itself."""
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def scored(answer: Mapping[str, Any], request: Request, missing: Collection[str]) -> Delta | None:
    """The one delta of a scoring request; None without log-probabilities."""
    choice = answer["choices"][0]
    reported: dict[str, Any] = choice.get("logprobs") or {}
    content: list[dict[str, Any]] = reported.get("content") or []
    if not content or "logprobs" in missing:
        return None
    seen: dict[str, float] = {}
    for top in content[0]["top_logprobs"]:
        seen.setdefault(top["token"].strip(), top["logprob"])  # the likeliest comes first
    used = counts(answer)
    message: dict[str, Any] = choice.get("message") or {}
    return Delta(
        text_of(message.get("content")),
        count=1 if used.completion is None else used.completion,
        ask_logprobs=tuple(seen.get(text.strip(), float("-inf")) for text in request.ask_texts),
        finish_reason=finish_of(choice.get("finish_reason")),
        ended=choice.get("finish_reason") == "stop",
        prompt_tokens=used.prompt,
        cached_tokens=used.cached,
        missing=() if used.prompt is not None else ("usage",),
    )
