"""Answers told whole though a stream was asked for, as the streams of their protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import orjson

from weft.service.protocols.errors.told_errors import told_error
from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body


def as_events(answer: Body) -> bytes:
    """The stream that an answer would have been; an error is its only event.

    Empty if it is neither.
    """
    if isinstance(answer.get("choices"), list):
        return _chat(answer)
    if answer.get("type") == "message" and isinstance(answer.get("content"), list):
        return _message(answer)
    if answer.get("object") == "response" and isinstance(answer.get("output"), list):
        return _response(answer)
    return _event(answer) if told_error(answer) else b""


def _chat(answer: Body) -> bytes:
    """An answer of chat or completions."""
    head = {key: value for key, value in answer.items() if key not in ("choices", "usage")}
    if answer.get("object") == "chat.completion":
        head["object"] = "chat.completion.chunk"
    events = [_event({**head, "choices": [_told(one)]}) for one in _bodies(answer["choices"])]
    if usage := answer.get("usage"):
        events.append(_event({**head, "choices": [], "usage": usage}))
    return b"".join([*events, b"data: [DONE]\n\n"])


def _told(choice: Body) -> Body:
    """A choice as one of a stream."""
    message: Any = choice.get("message")
    if not isinstance(message, dict):
        return choice  # of completions
    delta = cast(Body, message)
    calls = member(delta, "tool_calls")
    if isinstance(calls, list):
        numbered = enumerate(cast(list[Body], calls))
        delta = {**delta, "tool_calls": [{"index": at, **call} for at, call in numbered]}
    rest = {key: value for key, value in choice.items() if key != "message"}
    return {**rest, "delta": delta}


def _message(answer: Body) -> bytes:
    """One of Anthropic's messages."""
    ends = {key: answer.get(key) for key in ("stop_reason", "stop_sequence")}
    none = {"input_tokens": 0, "output_tokens": 0}
    usage = none | cast(Body, answer.get("usage") or {})
    begun: Body = {"content": [], "usage": usage | {"output_tokens": 0}}
    message: Body = {**answer, **dict.fromkeys(ends), **begun}
    events: list[Body] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(_bodies(answer["content"])):
        bare, deltas = _opened(block)
        start = {"type": "content_block_start", "index": index, "content_block": bare}
        more = [{"type": "content_block_delta", "index": index, "delta": one} for one in deltas]
        events += [start, *more, {"type": "content_block_stop", "index": index}]
    last = {"type": "message_delta", "delta": ends, "usage": usage}
    return _named([*events, last, {"type": "message_stop"}])


def _opened(block: Body) -> tuple[Body, list[Body]]:
    """A block of a message as it begins, and its deltas; blocks of other kinds come whole."""
    match block.get("type"):
        case "text":
            deltas: list[Body] = [{"type": "text_delta", "text": block.get("text")}]
            deltas += [
                {"type": "citations_delta", "citation": one}
                for one in _bodies(block.get("citations"))
            ]
            return {**block, "text": ""}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": block.get("thinking")}]
            if signature := block.get("signature"):
                deltas.append({"type": "signature_delta", "signature": signature})
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use" | "server_tool_use":
            given = orjson.dumps(block.get("input") or {}).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": given}]
        case _:
            return block, []


def _response(answer: Body) -> bytes:
    """One of OpenAI's responses; what has not ended yet only begins."""
    events: list[Body] = []

    def tell(kind: str, **fields: Any) -> None:
        events.append({"type": kind, "sequence_number": len(events), **fields})

    status = answer.get("status")
    begun: Body = {**answer, "status": "in_progress", "output": [], "usage": None, "error": None}
    tell("response.created", response=begun)
    tell("response.in_progress", response=begun)
    for index, item in enumerate(_bodies(answer["output"])):
        _tell_item(tell, index, item)
    if status in ("completed", "incomplete", "failed"):
        tell(f"response.{status}", response=answer)
    return _named(events)


def _tell_item(tell: Callable[..., None], index: int, item: Body) -> None:
    """The events of one item of a response."""
    place = {"item_id": item.get("id"), "output_index": index}
    tell("response.output_item.added", output_index=index, item=_emptied(item))
    for key in ("summary", "content"):
        for at, part in enumerate(_bodies(item.get(key))):
            _tell_part(tell, {**place, f"{key}_index": at}, part)
    for key, kind in (
        ("arguments", "function_call_arguments"),
        ("input", "custom_tool_call_input"),
    ):
        if isinstance(given := item.get(key), str):
            tell(f"response.{kind}.delta", delta=given, **place)
            more = {"name": item.get("name")} if key == "arguments" else {}
            tell(f"response.{kind}.done", **{key: given}, **more, **place)
    tell("response.output_item.done", output_index=index, item=item)


def _tell_part(tell: Callable[..., None], place: Body, part: Body) -> None:
    """The events of a part of an item: of its content, or of the summary of its thinking."""
    kind = str(part.get("type"))
    kind, frame = {
        "refusal": ("refusal", "content_part"),
        "reasoning_text": ("reasoning_text", ""),
        "summary_text": ("reasoning_summary_text", "reasoning_summary_part"),
    }.get(kind, ("output_text", "content_part"))
    key = "refusal" if kind == "refusal" else "text"
    text = part.get(key) or ""
    extra: Body = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
    if frame:
        tell(f"response.{frame}.added", part={**part, key: ""}, **place)
    tell(f"response.{kind}.delta", delta=text, **extra, **place)
    tell(f"response.{kind}.done", **{key: text}, **extra, **place)
    if frame:
        tell(f"response.{frame}.done", part=part, **place)


def _emptied(item: Body) -> Body:
    """An item as it begins."""
    empty: Body = {key: [] for key in ("content", "summary") if isinstance(item.get(key), list)}
    empty |= {key: "" for key in ("arguments", "input") if isinstance(item.get(key), str)}
    return {**item, **empty, **({"status": "in_progress"} if "status" in item else {})}


def _bodies(value: Any) -> list[Body]:
    """The objects in a list."""
    found = cast(list[Any], value) if isinstance(value, list) else []
    return [cast(Body, one) for one in found if isinstance(one, dict)]


def _named(events: list[Body]) -> bytes:
    """Events under the names of their types."""
    return b"".join(
        [b"event: %b\ndata: %b\n\n" % (one["type"].encode(), orjson.dumps(one)) for one in events]
    )


def _event(value: Body) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
