"""Anthropic's messages, told in chat completions."""

from __future__ import annotations

from typing import Any, cast

import orjson

from weft.errors import UsageError
from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body
from weft.service.protocols.sealed import opened
from weft.service.protocols.translation.message_teller import MessageTeller
from weft.service.protocols.translation.translation import (
    AnswerTeller,
    Translation,
    cannot,
    plain,
    system_first,
)

_OWN = frozenset(
    (
        "system",
        "messages",
        "tools",
        "tool_choice",
        "max_tokens",
        "stop_sequences",
        "thinking",
        "metadata",
        "output_config",
        "output_format",
        "context_management",
        "service_tier",
        "betas",
        "container",
        "mcp_servers",
        "cache_control",
        "inference_geo",
        "speed",
    )
)
"""Fields that chat completions have under other names, or not at all; all others go along."""


class MessagesTranslation(Translation):
    """`/v1/messages`."""

    path = "/v1/messages"

    def asked(self, body: Body) -> Body:
        """See Translation."""
        if body.get("mcp_servers"):
            raise cannot(
                "mcp_servers are asked by Anthropic's own servers; call the tools yourself"
            )
        chat: Body = {key: value for key, value in body.items() if key not in _OWN}
        texts = [_text(block, "system") for block in _blocks(body.get("system"))]
        messages: list[Body] = []
        for at, turn in enumerate(cast(list[Body], body["messages"])):
            messages += _turn(turn, f"messages[{at}]")
        chat["messages"] = system_first(texts, messages)
        chat["max_tokens"] = body.get("max_tokens")
        if stops := body.get("stop_sequences"):
            chat["stop"] = stops
        _tools(body, chat)
        _format(body, chat)
        if body.get("stream") is True:
            chat["stream_options"] = {"include_usage": True}
        return chat

    def answer(self, body: Body) -> AnswerTeller:
        """See Translation."""
        hides = member(body.get("thinking"), "display") == "omitted"
        return MessageTeller(str(body.get("model")), hides)


def _turn(turn: Body, place: str) -> list[Body]:
    """The messages that a turn is in chat: results of tools are turns of their own."""
    blocks = _blocks(turn.get("content"))
    if turn["role"] == "assistant":
        return [_assistant(blocks, place)]
    if turn["role"] == "system":
        return [{"role": "system", "content": plain([_part(b, place) for b in blocks])}]
    results: list[Body] = []
    parts: list[Body] = []
    for block in _flat(blocks):
        if block.get("type") == "tool_result":
            result, more = _result(block, place)
            results.append(result)
            parts += more
        else:
            parts.append(_part(block, place))
    return [*results, {"role": "user", "content": plain(parts)}] if parts else results


def _result(block: Body, place: str) -> tuple[Body, list[Body]]:
    """The result of a tool as text, and what of it is none, which users say in chat."""
    parts = [_part(part, place) for part in _flat(_blocks(block.get("content")))]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    if block.get("is_error"):
        text = f"Error: {text}"
    more = [part for part in parts if part["type"] != "text"]
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text}, more


def _assistant(blocks: list[Body], place: str) -> Body:
    said: list[str] = []
    thought: list[str] = []
    calls: list[Body] = []
    for block in blocks:
        match block.get("type"):
            case "text":
                said.append(str(block.get("text", "")))
            case "thinking":
                told = block.get("thinking") or opened(block.get("signature"))
                thought.append(str(told or ""))
            case "compaction":  # what the model said of all before it
                said.append(str(block.get("content") or ""))
            case "redacted_thinking":
                pass  # nobody else can read it
            case "tool_use":
                given = orjson.dumps(block.get("input") or {}).decode()
                function = {"name": block.get("name"), "arguments": given}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case kind:
                raise cannot(f"{place} has a block of the type {kind!r}, which those don't have")
    found: Body = {"role": "assistant", "content": "\n".join(said) if said or not calls else None}
    if any(thought):
        found["reasoning_content"] = "\n".join(thought)
    return found | ({"tool_calls": calls} if calls else {})


def _part(block: Body, place: str) -> Body:
    source: Any = block.get("source")
    match block.get("type"), member(source, "type"):
        case "text", _:
            return {"type": "text", "text": _text(block, place)}
        case "image", "base64":
            return {"type": "image_url", "image_url": {"url": _inline(source)}}
        case "image", "url":
            return {"type": "image_url", "image_url": {"url": source["url"]}}
        case "tool_reference", _:
            return {"type": "text", "text": str(block.get("tool_name") or "")}
        case "document", "text":
            return {"type": "text", "text": str(source.get("data", ""))}
        case "document", "base64":
            name = str(block.get("title") or "document.pdf")
            return {"type": "file", "file": {"filename": name, "file_data": _inline(source)}}
        case kind, from_ if from_ is not None:
            raise cannot(f"{place} has a block of the type {kind!r} from {from_!r}; send its data")
        case kind, _:
            raise cannot(f"{place} has a block of the type {kind!r}, which those don't have")


def _flat(blocks: list[Body]) -> list[Body]:
    """Blocks with those that others consist of, behind their titles, in the others' place."""
    found: list[Body] = []
    for block in blocks:
        source: Any = block.get("source")
        held: Any = None
        if block.get("type") == "search_result":
            held = block.get("content")
        elif block.get("type") == "document" and member(source, "type") == "content":
            held = source["content"]
        if held is None:
            found.append(block)
            continue
        told = [one for one in (block.get("title"), source) if isinstance(one, str) and one]
        found += [{"type": "text", "text": text} for text in told]
        found += _blocks(held)
    return found


def _inline(source: Body) -> str:
    return f"data:{source.get('media_type', '')};base64,{source.get('data', '')}"


def _text(block: Body, place: str) -> str:
    text = block.get("text")
    if not isinstance(text, str):
        raise UsageError(f"{place} has a block that is no text; send text")
    return text


def _blocks(content: Any) -> list[Body]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    found = cast(list[Any], content) if isinstance(content, list) else []
    return [
        cast(Body, one) if isinstance(one, dict) else {"type": "text", "text": str(one)}
        for one in found
    ]


def _tools(body: Body, chat: Body) -> None:
    """Tools that the client runs. Of those that Anthropic's servers run nothing is told."""
    tools: list[Body] = []
    for tool in cast(list[Body], body.get("tools") or []):
        if tool.get("type") in (None, "custom"):
            schema: Any = tool.get("input_schema") or {}
            function: Body = {"name": tool.get("name"), "parameters": schema}
            if tool.get("description"):
                function["description"] = tool["description"]
            tools.append({"type": "function", "function": function})
    choice = cast(Body, body.get("tool_choice") or {})
    names = {tool["function"]["name"] for tool in tools}
    match choice.get("type"):
        case "tool" if choice.get("name") not in names:
            raise cannot(
                f"the tool {choice.get('name')!r} would have to be run by its server; offer one "
                "with an input_schema"
            )
        case "tool":
            chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
        case "any":
            chat["tool_choice"] = "required"
        case "auto" | "none":
            chat["tool_choice"] = choice["type"]
        case _:
            pass
    if not tools:
        chat.pop("tool_choice", None)
        if body.get("tools") and choice.get("type") == "any":
            raise cannot("none of the tools is one that the client runs; offer one that is")
        return
    chat["tools"] = tools
    if choice.get("disable_parallel_tool_use") is True:
        chat["parallel_tool_calls"] = False


def _format(body: Body, chat: Body) -> None:
    wished: Any = member(body.get("output_config"), "format") or body.get("output_format")
    if member(wished, "type") == "json_schema":
        schema = {"name": "answer", "schema": member(wished, "schema")}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    effort = member(body.get("output_config"), "effort")
    if isinstance(effort, str):
        chat["reasoning_effort"] = effort
