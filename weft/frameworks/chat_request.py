"""A body of chat completions, read into what `generate` takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from weft.errors import Unsupported, UsageError
from weft.programs.prompt import Prompt
from weft.programs.tools.marking import Tool
from weft.types import Media, ToolCall

_LIMITS = ("max_completion_tokens", "max_tokens")
_SETTINGS = {
    *("temperature", "top_p", "stop", "seed", "top_k", "min_p", "presence_penalty"),
    *("frequency_penalty", "repetition_penalty", "reasoning_effort"),
}
"""Fields that `generate` has under the same names."""
_READ = {
    *("messages", "model", "stream", "stream_options", "n", "tools", "tool_choice"),
    *("response_format", "logprobs", "top_logprobs", *_LIMITS, *_SETTINGS),
}
_OF_OPENAI = {
    *("metadata", "modalities", "prompt_cache_key", "prompt_cache_retention", "store", "user"),
    *("safety_identifier", "service_tier", "verbosity", "functions", "function_call"),
}
"""Fields that concern OpenAI's service, and no engine."""


Remembered = Callable[[Prompt, str, tuple[ToolCall, ...]], Prompt | None]
"""Finds the Prompt that ends with an answer, its text and calls, that a model gave before."""


@dataclass(frozen=True, slots=True, eq=False)
class GivenTool(Tool):
    """A tool that a framework runs: the model is told of it in the framework's own words.

    Attributes:
        given: the function in OpenAI's form.
    """

    given: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def definition(self) -> dict[str, Any]:
        """See Tool."""
        return {"type": "function", "function": dict(self.given)}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a framework asks for.

    Attributes:
        prompt: the conversation.
        model: a role, or a model's name.
        stream: whether the answer is to come in pieces.
        usage: whether the pieces are to end with the usage.
        settings: of `generate`, those of sampling and of tools.
        n: how many answers.
    """

    prompt: Prompt
    model: str
    stream: bool
    usage: bool
    n: int
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


def read_chat(body: Mapping[str, Any], remembered: Remembered) -> ChatRequest:
    """Read a body.

    Args:
        body: the request's JSON object.
        remembered: knows again what models answered.

    Raises:
        UsageError: the body asks for what can't be had.
    """
    settings: dict[str, Any] = {
        name: value for name in _SETTINGS if (value := body.get(name)) is not None
    }
    limit = next((body[name] for name in _LIMITS if body.get(name) is not None), None)
    if limit is not None:
        settings["max_tokens"] = limit
    for name in ("temperature", "top_p"):
        if name in settings:
            settings[name] = float(settings[name])
    if body.get("logprobs"):
        settings["logprobs"] = body.get("top_logprobs") or 0
    if body.get("tools"):
        settings |= _offered(body)
    if (schema := _schema(body.get("response_format"))) is not None:
        settings["schema"] = schema
    more = {k: v for k, v in body.items() if k not in _READ | _OF_OPENAI and v is not None}
    if more:
        settings["extra"] = more
    options: Any = body.get("stream_options") or {}
    stream, n = bool(body.get("stream")), body.get("n") or 1
    if stream and n != 1:
        raise UsageError(f"n={n!r} answers can't be streamed together; leave stream out, or n")
    prompt = _prompt(body.get("messages"), remembered)
    model = str(body.get("model") or "solver")
    return ChatRequest(prompt, model, stream, bool(options.get("include_usage")), n, settings)


def _prompt(messages: Any, remembered: Remembered) -> Prompt:
    if not isinstance(messages, list) or not messages:
        raise UsageError("messages must be a list with at least one message")
    prompt, names = Prompt(), dict[str, str]()
    for at, one in enumerate(cast("list[dict[str, Any]]", messages)):
        text, media = _content(one.get("content"), at)
        match one.get("role"):
            case "system" | "developer":
                prompt = prompt.system(text)
            case "user":
                prompt = prompt.user(text, *media)
            case "assistant":
                calls = tuple([_called(call) for call in one.get("tool_calls") or ()])
                names |= {call.id: call.name for call in calls}
                known = remembered(prompt, text, calls)
                prompt = known if known is not None else prompt.assistant(text, calls=calls)
            case "tool":
                id = str(one.get("tool_call_id") or "")
                prompt = prompt.tool(text, call=id, name=names.get(id, ""))
            case role:
                raise UsageError(f"messages[{at}]: there is no role {role!r} in a conversation")
    return prompt


def _content(content: Any, at: int) -> tuple[str, Sequence[Media]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    texts: list[str] = []
    media: list[Media] = []
    for part in cast("list[dict[str, Any]]", content):
        match part.get("type"):
            case "text":
                texts.append(str(part.get("text") or ""))
            case "refusal":
                texts.append(str(part.get("refusal") or ""))
            case "image_url":
                media.append(Media("image", str(part["image_url"]["url"])))
            case "file" if (file := part["file"]).get("file_data"):
                media.append(Media("file", file["file_data"], str(file.get("filename") or "")))
            case kind:
                raise Unsupported(
                    f"messages[{at}] has a part of type {kind!r}; send texts, images, and files "
                    "with their data"
                )
    return "\n".join(texts), media


def _called(call: Mapping[str, Any]) -> ToolCall:
    function: Mapping[str, Any] = call.get("function") or {}
    return ToolCall(
        str(function.get("name")), str(function.get("arguments") or ""), str(call.get("id") or "")
    )


def _tool(given: Mapping[str, Any]) -> Tool:
    if given.get("type") != "function":
        raise Unsupported(f"a tool of type {given.get('type')!r} is none that engines know")
    function: dict[str, Any] = dict(given["function"])
    schema: dict[str, Any] = function.get("parameters") or {"type": "object", "properties": {}}
    function["parameters"] = schema
    name, about = str(function["name"]), str(function.get("description") or "")
    return GivenTool(name, about, schema, _run_elsewhere, given=function)


def _run_elsewhere(**_: Any) -> None:
    raise AssertionError("the framework runs its tools itself")


def _offered(body: Mapping[str, Any]) -> dict[str, Any]:
    """The tools, and which of them is to be called; a tool's name stands for itself."""
    tools, choice = [_tool(one) for one in body["tools"]], body.get("tool_choice")
    if isinstance(choice, Mapping):
        match cast("dict[str, Any]", choice):
            case {"type": "function", "function": {"name": str(name)}}:
                choice = name
            case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}:
                names = {one["function"]["name"] for one in allowed}
                tools, choice = [one for one in tools if one.name in names], mode
            case other:
                raise Unsupported(f"tool_choice={json.dumps(other)} is unknown; name a tool")
    return {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}


def _schema(form: Any) -> dict[str, Any] | None:
    """The schema that an answer's format asks for."""
    given = cast("dict[str, Any]", form or {})
    match given.get("type", "text"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            return cast("dict[str, Any]", given["json_schema"].get("schema") or {"type": "object"})
        case other:
            raise Unsupported(f"response_format of type {other!r} is none that engines know")
