"""An answer of chat completions, told as a response."""

from __future__ import annotations

import time
from typing import Any, cast

import orjson

from weft.service.protocols.errors.error_words import ErrorWords
from weft.service.protocols.events import member, object_in
from weft.service.protocols.protocol import Body
from weft.service.protocols.responses import failed_code
from weft.service.protocols.sealed import sealed
from weft.service.protocols.translation.call_order import arguments_of
from weft.service.protocols.translation.response_tools import (
    LOCAL_SHELL,
    offered,
    run_by_client,
    shell_action,
)
from weft.service.protocols.translation.translation import (
    AnswerTeller,
    Event,
    calls_of,
    counts_of,
    finish_of,
    first_choice,
    new_id,
    refusal_of,
    text_of,
    thinking_of,
)

_ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "reasoning",
    "temperature",
    "text",
    "top_p",
    "user",
)


class ResponseTeller(AnswerTeller):
    """See AnswerTeller.

    Args:
        body: that is answered.
    """

    def __init__(self, body: Body) -> None:
        super().__init__()
        self._number = 0
        self._output: list[Body] = []
        self._item: Body | None = None
        self._text, self._part = "", "output_text"
        self._call = -1
        tools = [tool for tool in offered(body) if tool.get("type")]
        self._own = {str(tool["type"]) for tool in tools if run_by_client(tool)}
        self._custom = {tool.get("name") for tool in tools if tool["type"] == "custom"}
        asked = cast(list[Any], body.get("include") or [])
        self._seals = "reasoning.encrypted_content" in asked
        self._spaces = [str(tool.get("name")) for tool in tools if tool["type"] == "namespace"]
        self._response: Body = {
            "id": new_id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "model": body.get("model"),
            "background": False,
            "error": None,
            "incomplete_details": None,
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": None,
            "store": False,
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "truncation": "disabled",
            **{key: body.get(key) for key in _ECHOED},
        }

    def whole(self, chat: Body) -> Body:
        """See AnswerTeller."""
        choice = first_choice(chat)
        message = cast(Body, member(choice, "message") or {})
        output: list[Body] = []
        if thought := thinking_of(message):
            output.append(self._sealed(_ended(_reasoning(), thought), thought))
        text, calls = text_of(message), calls_of(message)
        refusal = refusal_of(message)
        if text or not (calls or refusal):
            output.append(_ended(_message(), text))
        if refusal:
            output.append(_ended(_message(), refusal, "refusal"))
        for call in calls:
            output.append(_ended(self._called(call), arguments_of(call)))
        return self._finished(output, finish_of(choice), cast(Body, chat.get("usage") or {}))

    def opening(self) -> list[Event]:
        """See AnswerTeller."""
        response: Body = {**self._response, "status": "in_progress", "output": [], "usage": None}
        kinds = ("response.created", "response.in_progress")
        return [self._event(kind, response=response) for kind in kinds]

    def piece(self, delta: Body) -> list[Event]:
        """See AnswerTeller."""
        events: list[Event] = []
        if thought := thinking_of(delta):
            events += self._within("reasoning") + self._grown(thought)
        if text := text_of(delta):
            events += self._within("message") + self._grown(text)
        if refusal := refusal_of(delta):
            events += self._within("message", "refusal") + self._grown(refusal)
        for call in calls_of(delta):
            at: int = call["index"]
            if at != self._call:
                self._call = at
                events += self._end_item() + self._start(self._called(call))
            if given := arguments_of(call):
                events += self._grown(given)
        return events

    def closing(self, finish: str, usage: Body) -> list[Event]:
        """See AnswerTeller."""
        events = self._end_item()
        if not self._output:
            events += self._within("message") + self._end_item()
        response = self._finished(self._output, finish, usage)
        return [*events, self._event(f"response.{response['status']}", response=response)]

    def failing(self, words: ErrorWords) -> list[Event]:
        """See AnswerTeller."""
        error = {"code": failed_code(words), "message": words.message}
        response = {**self._response, "status": "failed", "error": error, "output": self._output}
        first = self._event("error", **error, param=None)
        return [first, self._event("response.failed", response=response)]

    def _finished(self, output: list[Body], finish: str, usage: Body) -> Body:
        prompt, cached, generated, thought = counts_of(usage)
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
        return {
            **self._response,
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "output": output,
            "usage": {
                "input_tokens": prompt,
                "input_tokens_details": {"cached_tokens": cached},
                "output_tokens": generated,
                "output_tokens_details": {"reasoning_tokens": thought},
                "total_tokens": prompt + generated,
            },
        }

    def _event(self, kind: str, **fields: Any) -> Event:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event

    def _called(self, call: Body) -> Body:
        """A call that begins: of a function, or of a tool that takes text."""
        name = str(member(call, "function", "name") or "")
        call_id = call.get("id") or new_id("call")
        if name in self._custom:
            item: Body = {"type": "custom_tool_call", "id": new_id("ctc"), "call_id": call_id}
            return {**item, "name": name, "input": ""}
        if name in self._own:
            item = {"type": f"{name}_call", "id": new_id("call"), "call_id": call_id}
            more = {"action": shell_action({})} if name == LOCAL_SHELL else {"execution": "client"}
            return {**item, **more, "status": "in_progress"}
        item = {"type": "function_call", "id": new_id("fc"), "call_id": call_id}
        space = next((one for one in self._spaces if name.startswith(f"{one}__")), None)
        if space is not None:
            item["namespace"], name = space, name.removeprefix(f"{space}__")
        return {**item, "name": name, "arguments": "", "status": "in_progress"}

    def _sealed(self, item: Body, text: str) -> Body:
        """An item that is whole; thinking stands in it once more, for clients that keep only that.

        Codex keeps the texts of thinking to itself.
        """
        if self._seals and item["type"] == "reasoning":
            return {**item, "encrypted_content": sealed(text)}
        return item

    def _within(self, kind: str, part: str = "output_text") -> list[Event]:
        """Begin an item of a kind, unless one is open."""
        if self._item is not None and self._item["type"] == kind and self._part == part:
            return []
        events = self._end_item()
        self._part = part
        return events + self._start(_message() if kind == "message" else _reasoning())

    def _start(self, item: Body) -> list[Event]:
        self._item, self._text = item, ""
        events = [
            self._event("response.output_item.added", output_index=len(self._output), item=item)
        ]
        if item["type"] == "message":
            part = _part("", self._part)
            events.append(self._event("response.content_part.added", part=part, **self._place()))
        return events

    def _place(self) -> Body:
        assert self._item is not None
        place: Body = {"item_id": self._item["id"], "output_index": len(self._output)}
        return place | (
            {"content_index": 0} if self._item["type"] in ("message", "reasoning") else {}
        )

    def _grown(self, more: str) -> list[Event]:
        """More of the item that is open. A text within JSON is told when it is whole."""
        assert self._item is not None
        self._text += more
        match self._item["type"]:
            case "message" if self._part == "refusal":
                kind, extra = "response.refusal.delta", {}
            case "message":
                kind, extra = "response.output_text.delta", {"logprobs": list[Any]()}
            case "reasoning":
                kind, extra = "response.reasoning_text.delta", {}
            case "function_call":
                kind, extra = "response.function_call_arguments.delta", {}
            case _:
                return []
        return [self._event(kind, delta=more, **extra, **self._place())]

    def _end_item(self) -> list[Event]:
        item, text = self._item, self._text
        if item is None:
            return []
        done, place = self._sealed(_ended(item, text, self._part), text), self._place()
        events: list[Event] = []
        match item["type"]:
            case "message":
                part = done["content"][0]
                if self._part == "refusal":
                    events.append(self._event("response.refusal.done", refusal=text, **place))
                else:
                    kind = "response.output_text.done"
                    events.append(self._event(kind, text=text, logprobs=[], **place))
                events.append(self._event("response.content_part.done", part=part, **place))
            case "reasoning":
                events.append(self._event("response.reasoning_text.done", text=text, **place))
            case "function_call":
                kind = "response.function_call_arguments.done"
                events.append(self._event(kind, arguments=text, name=item["name"], **place))
            case "custom_tool_call":
                given, kind = done["input"], "response.custom_tool_call_input"
                events.append(self._event(f"{kind}.delta", delta=given, **place))
                events.append(self._event(f"{kind}.done", input=given, **place))
            case _:
                pass
        at = len(self._output)
        events.append(self._event("response.output_item.done", output_index=at, item=done))
        self._output.append(done)
        self._item = None
        return events


def _message() -> Body:
    head = {"type": "message", "id": new_id("msg"), "role": "assistant"}
    return {**head, "status": "in_progress", "content": []}


def _reasoning() -> Body:
    return {"type": "reasoning", "id": new_id("rs"), "summary": [], "content": []}


def _part(text: str, kind: str) -> Body:
    """A part of a message."""
    if kind == "refusal":
        return {"type": kind, "refusal": text}
    return {"type": kind, "text": text, "annotations": [], "logprobs": []}


def _ended(item: Body, text: str, part: str = "output_text") -> Body:
    """An item that is whole; a message of one part of a kind."""
    match item["type"]:
        case "message":
            return {**item, "status": "completed", "content": [_part(text, part)]}
        case "reasoning":
            return {**item, "content": [{"type": "reasoning_text", "text": text}]}
        case "function_call":
            return {**item, "status": "completed", "arguments": text or "{}"}
        case "local_shell_call":
            return {**item, "status": "completed", "action": shell_action(_read(text))}
        case "tool_search_call":
            return {**item, "status": "completed", "arguments": _read(text)}
        case _:
            return {**item, "status": "completed", "input": _input_of(text)}


def _read(arguments: str) -> Body:
    """The arguments of a call; empty if they are no object."""
    return object_in(arguments.encode("utf-8", "surrogatepass"))


def _input_of(arguments: str) -> str:
    """The text for a tool; models may write it without the JSON around it."""
    try:
        found = member(orjson.loads(arguments), "input")
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, str) else arguments
