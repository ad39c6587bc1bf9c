"""OpenAI's responses, told in chat completions."""

from __future__ import annotations

from typing import Any, cast

import orjson

from weft.errors import Refused
from weft.service.protocols.compaction import TRIGGER, own_summary
from weft.service.protocols.errors.error_words import NO_RESPONSE
from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body
from weft.service.protocols.translation.response_teller import ResponseTeller
from weft.service.protocols.translation.response_tools import (
    LOCAL_SHELL,
    TOOL_SEARCH,
    choose_tool,
    found_text,
    functions,
)
from weft.service.protocols.translation.translation import (
    AnswerTeller,
    Translation,
    cannot,
    plain,
    system_first,
)

_SAME = frozenset(
    (
        "model",
        "stream",
        "temperature",
        "top_p",
        "top_logprobs",
        "presence_penalty",
        "frequency_penalty",
        "parallel_tool_calls",
        "seed",
        "cache_salt",
        "priority",
        "top_k",
        "min_p",
        "stop",
        "chat_template_kwargs",
    )
)
"""Fields that mean the same in chat completions, or to vLLM's."""

_REMINDER = "<system-reminder>\n%s\n</system-reminder>"


class ResponsesTranslation(Translation):
    """`/v1/responses`."""

    path = "/v1/responses"

    def asked(self, body: Body) -> Body:
        """See Translation."""
        for field, why in _NEVER.items():
            if body.get(field):
                code = NO_RESPONSE if field == "previous_response_id" else None
                raise Refused(400, f"the engine speaks only chat completions: {why}", code=code)
        chat: Body = {key: value for key, value in body.items() if key in _SAME}
        texts = [body["instructions"]] if isinstance(body.get("instructions"), str) else []
        given: Any = body["input"]
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        messages = _messages(cast(list[Body], items), texts)
        chat["messages"] = system_first(texts, messages)
        if body.get("max_output_tokens") is not None:
            chat["max_tokens"] = body["max_output_tokens"]
        effort = member(body.get("reasoning"), "effort")
        if isinstance(effort, str):
            chat["reasoning_effort"] = effort
        _format(body, chat)
        tools = functions(body)
        if tools:
            chat["tools"] = tools
        else:
            chat.pop("parallel_tool_calls", None)
        choose_tool(body, chat, {tool["function"]["name"] for tool in tools})
        if body.get("stream") is True:
            chat["stream_options"] = {"include_usage": True}
        return chat

    def answer(self, body: Body) -> AnswerTeller:
        """See Translation."""
        return ResponseTeller(body)


_NEVER = {
    "previous_response_id": "it keeps no responses to go on from by previous_response_id; send the "
    "whole conversation as input",
    "conversation": "it keeps no conversations; send the whole conversation as input",
    "background": "it can't run a response in the background; leave background out",
    "prompt": "it knows no stored prompts; send instructions and input",
}


def _messages(items: list[Body], texts: list[str]) -> list[Body]:
    """Items as messages; system texts in front are added to `texts`.

    What the model did between two inputs is one message in chat: its thinking, its text and its
    calls.
    """
    messages: list[Body] = []
    own: Body | None = None  # the model's message that goes on
    shown: list[Body] = []  # what tools gave that is no text, to stand behind all their results
    for at, item in enumerate(items):
        kind = item.get("type") or ("message" if item.get("role") else None)
        if shown and kind not in _RESULTS:
            messages.append({"role": "user", "content": shown})
            shown = []
        if kind == "message" and item.get("role") != "assistant":
            message = _spoken(item, f"input[{at}]")
            if message["role"] == "user":
                own = None
                messages.append(message)
            elif not messages:
                texts.append(_joined(message["content"]))
            else:  # many templates take a message of the system only in front
                own = None
                text = _REMINDER % _joined(message["content"])
                messages.append({"role": "user", "content": text})
        elif kind in _SEARCHES and item.get("execution") != "client":
            continue  # OpenAI's servers have searched
        elif kind in _RESULTS:
            own = None
            message, more = _result(item, f"input[{at}]")
            messages.append(message)
            shown += more
        elif kind == "compaction":
            own = None
            messages.append({"role": "user", "content": own_summary(item, f"input[{at}]")})
        elif kind in _PASSED_OVER:
            continue
        else:
            if own is None:
                own = {"role": "assistant", "content": None}
                messages.append(own)
            _did(own, item, kind, f"input[{at}]")
    return [*messages, {"role": "user", "content": shown}] if shown else messages


_RESULTS = frozenset(
    (
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "tool_search_output",
    )
)
_SEARCHES = ("tool_search_call", "tool_search_output")
_PASSED_OVER = frozenset(
    (
        TRIGGER,
        "web_search_call",
        "file_search_call",
        "image_generation_call",
        "mcp_list_tools",
        "ghost_snapshot",
    )
)
"""What an engine that only chats makes nothing of, and can do without."""


def _did(own: Body, item: Body, kind: Any, place: str) -> None:
    """Add what the model did to its message."""
    match kind:
        case "message":
            text = _joined(_content(item.get("content"), place))
            own["content"] = text if not own["content"] else f"{own['content']}\n{text}"
        case "reasoning":
            parts = item.get("content") or item.get("summary")
            thought = "\n".join(
                str(member(part, "text") or "") for part in cast(list[Any], parts or [])
            )
            if thought:
                before = own.get("reasoning_content")
                own["reasoning_content"] = f"{before}\n{thought}" if before else thought
        case "function_call":
            name = item.get("name")
            if space := item.get("namespace"):
                name = f"{space}__{name}"
            _call(own, item, name, item.get("arguments") or "{}")
        case "custom_tool_call":
            given = orjson.dumps({"input": item.get("input") or ""}).decode()
            _call(own, item, item.get("name"), given)
        case "local_shell_call":
            given = cast(Body, item.get("action") or {})
            action = {key: value for key, value in given.items() if key != "type"}
            _call(own, item, LOCAL_SHELL, orjson.dumps(action).decode())
        case "tool_search_call":
            _call(own, item, TOOL_SEARCH, orjson.dumps(item.get("arguments") or {}).decode())
        case "item_reference":
            raise cannot(f"{place} refers to an item that it does not keep; send the item itself")
        case _:
            raise cannot(f"{place} is of the type {kind!r}, which those don't have")


def _call(own: Body, item: Body, name: Any, arguments: Any) -> None:
    call = {"id": item.get("call_id") or item.get("id"), "type": "function"}
    call["function"] = {"name": name, "arguments": arguments}
    own.setdefault("tool_calls", []).append(call)


def _result(item: Body, place: str) -> tuple[Body, list[Body]]:
    """What a tool gave as text, and what of it is none, which users say in chat."""
    output = found_text(item) if item["type"] == "tool_search_output" else item.get("output")
    parts = _parts(output, place)
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    more = [part for part in parts if part["type"] != "text"]
    id = item.get("call_id") or item.get("id")
    return {"role": "tool", "tool_call_id": id, "content": text}, more


def _spoken(item: Body, place: str) -> Body:
    role = "user" if item.get("role") == "user" else "system"
    return {"role": role, "content": _content(item.get("content"), place)}


def _content(content: Any, place: str) -> str | list[Body]:
    return plain(_parts(content, place))


def _parts(content: Any, place: str) -> list[Body]:
    if not isinstance(content, list):
        return [{"type": "text", "text": content if isinstance(content, str) else ""}]
    return [_part(part, place) for part in cast(list[Any], content)]


def _part(part: Any, place: str) -> Body:
    match member(part, "type"):
        case "input_text" | "output_text" | "text" | "summary_text":
            return {"type": "text", "text": str(part.get("text") or "")}
        case "refusal":
            return {"type": "text", "text": str(part.get("refusal") or "")}
        case "input_image" | "image_url" if isinstance(url := _url(part), str):
            image: Body = {"url": url}
            if isinstance(part.get("detail"), str):
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_audio" if isinstance(part.get("input_audio"), dict):
            return {"type": "input_audio", "input_audio": part["input_audio"]}
        case "input_file" if isinstance(data := part.get("file_data"), str):
            name = part.get("filename") or "file"
            return {"type": "file", "file": {"filename": name, "file_data": data}}
        case "input_file" if part.get("file_url"):
            raise cannot(f"{place} names a file by its address; send its data")
        case "input_image" | "input_file":
            raise cannot(f"{place} names a file that it does not keep; send its data")
        case kind:
            raise cannot(f"{place} has a part of the type {kind!r}, which those don't have")


def _url(part: Body) -> Any:
    """The address of an image, which some write as chat completions have it."""
    return member(part.get("image_url"), "url") or part.get("image_url")


def _joined(content: str | list[Body]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content)


def _format(body: Body, chat: Body) -> None:
    wished: Any = member(body.get("text"), "format")
    match member(wished, "type"):
        case "json_schema":
            schema = {k: v for k, v in wished.items() if k in ("name", "schema", "strict")}
            chat["response_format"] = {"type": "json_schema", "json_schema": schema}
        case "json_object":
            chat["response_format"] = {"type": "json_object"}
        case _:
            pass
