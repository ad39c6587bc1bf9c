"""OpenAI's responses, as vLLM and the mock server read and write them."""

from __future__ import annotations

from typing import Any, Literal

from weft.backends.mock.forms import (
    AnswerForm,
    called,
    merged,
    named_event,
    objects,
    role_of,
    text_of,
    unique,
)
from weft.backends.scripted import script
from weft.errors import RequestRejected
from weft.types import Delta, Message

Kind = Literal["message", "function_call", "custom_tool_call"]

FIELDS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Where a call of each kind has what is given to the tool."""

DELTAS: dict[str, str] = {
    "message": "response.output_text",
    "function_call": "response.function_call_arguments",
    "custom_tool_call": "response.custom_tool_call_input",
}
"""How the events of an item's growth begin."""


class ResponsesAnswer(AnswerForm):
    """An answer of `/v1/responses`."""

    def __init__(self, id: str, model: str, body: dict[str, Any], prompt: int) -> None:
        super().__init__(id, model, body, prompt)
        self._parts = script.Parts()
        self._events = 0
        self._open: dict[str, Any] | None = None
        self._text = ""
        self._done: list[dict[str, Any]] = []

    def opening(self) -> bytes:
        """That it was begun."""
        response = self._response("in_progress", [], None)
        kinds = ("response.created", "response.in_progress")
        return b"".join(self._event(kind, response=response) for kind in kinds)

    def events(self, delta: Delta) -> bytes:
        """Events of the items, of which each is begun and ended."""
        events = b""
        for kind, piece in self._parts.feed(delta.text):
            if kind == "call":
                events += self._end() + self._begin(self._call(piece))
                continue
            if kind == "text" and (self._open is None or self._open["type"] != "message"):
                events += self._end() + self._begin(message("", "in_progress"))
            self._text += piece
            events += self._event(f"{self._prefix()}.delta", delta=piece, **self._place())
        return events

    def closing(self, last: Delta, generated: int) -> bytes:
        """The end of the last item, and the response."""
        events = self._end()
        response = self._response(status(last), self._done, usage(last, generated))
        return events + self._event("response.completed", response=response)

    def whole(self, delta: Delta) -> dict[str, Any]:
        """The answer."""
        text, calls = script.said(delta.text)
        output = [message(text, "completed")] if text or not calls else []
        for call in calls:
            item = self._call(call.name)
            output.append(item | {FIELDS[item["type"]]: call.text} | finished(item))
        return self._response(status(delta), output, usage(delta, delta.count))

    def _call(self, name: str) -> dict[str, Any]:
        """A call that has just begun: of a tool that takes text, or of a function."""
        offered = objects(self.body.get("tools") or [], "tools")
        custom = [tool.get("name") for tool in offered if tool.get("type") == "custom"]
        call: dict[str, Any] = {"call_id": unique("call_"), "name": name}
        if name in custom:
            return {"type": "custom_tool_call", "id": unique("ctc_"), **call, "input": ""}
        spaces = [str(tool.get("name")) for tool in offered if tool.get("type") == "namespace"]
        space = next((one for one in spaces if name.startswith(f"{one}__")), None)
        if space is not None:
            call |= {"name": name.removeprefix(f"{space}__"), "namespace": space}
        ending = {"arguments": "", "status": "in_progress"}
        return {"type": "function_call", "id": unique("fc_"), **call, **ending}

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._events, **fields}
        self._events += 1
        return named_event(event)

    def _prefix(self) -> str:
        return DELTAS[self._open["type"]] if self._open else ""

    def _place(self) -> dict[str, Any]:
        """Where the item that is open stands."""
        assert self._open is not None
        place = {"item_id": self._open["id"], "output_index": len(self._done)}
        if self._open["type"] == "message":
            place |= {"content_index": 0, "logprobs": []}
        return place

    def _begin(self, item: dict[str, Any]) -> bytes:
        self._open, self._text = item, ""
        shown = dict(item)
        if "content" in item:
            shown["content"] = []
        events = self._event("response.output_item.added", output_index=len(self._done), item=shown)
        if item["type"] == "message":
            events += self._part("added", "")
        return events

    def _end(self) -> bytes:
        if self._open is None:
            return b""
        item, text = self._open, self._text
        if item["type"] == "message":
            events = self._event("response.output_text.done", text=text, **self._place())
            events += self._part("done", text)
            item = message(text, "completed") | {"id": item["id"]}
        else:
            field = FIELDS[item["type"]]
            more = {"name": item["name"]} if field == "arguments" else {}
            given: dict[str, Any] = {field: text, **more, **self._place()}
            events = self._event(f"{self._prefix()}.done", **given)
            item = item | {field: text} | finished(item)
        events += self._event("response.output_item.done", output_index=len(self._done), item=item)
        self._done.append(item)
        self._open = None
        return events

    def _part(self, what: str, text: str) -> bytes:
        place = {key: value for key, value in self._place().items() if key != "logprobs"}
        return self._event(f"response.content_part.{what}", part=part(text), **place)

    def _response(
        self, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        body = self.body
        details = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": 0,
            "model": self.model,
            "status": status,
            "output": output,
            "usage": usage,
            "error": None,
            "incomplete_details": details,
            "instructions": body.get("instructions"),
            "metadata": body.get("metadata"),
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "temperature": body.get("temperature", 1.0),
            "top_p": body.get("top_p", 1.0),
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "max_output_tokens": body.get("max_output_tokens"),
            "previous_response_id": None,
            "background": False,
            "service_tier": "auto",
            "truncation": "disabled",
        }


def part(text: str) -> dict[str, Any]:
    """The content of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message(text: str, status: str) -> dict[str, Any]:
    """An item of text."""
    head = {"type": "message", "id": unique("msg_"), "role": "assistant", "status": status}
    return {**head, "content": [part(text)]}


def finished(item: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a call's status when it is whole."""
    return {"status": "completed"} if "status" in item else {}


def status(last: Delta) -> str:
    """How an answer ended."""
    return "incomplete" if last.finish_reason == "length" else "completed"


def usage(last: Delta, generated: int) -> dict[str, Any]:
    """The usage."""
    prompt = last.prompt_tokens or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": last.cached_tokens or 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": generated,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + generated,
    }


def conversation(body: dict[str, Any]) -> tuple[Message, ...]:
    """The conversation in a body."""
    if body.get("previous_response_id"):
        raise RequestRejected("previous_response_id is not kept here; send the whole conversation")
    given = body.get("input")
    if not given:
        raise RequestRejected("input must be a text or a list of at least one item")
    found: list[Message] = []
    if body.get("instructions"):
        found.append(Message("system", text_of(body["instructions"], "instructions")))
    if isinstance(given, str):
        return (*found, Message("user", given))
    for item in objects(given, "input"):
        kind = item.get("type") or "message"
        if kind == "message":
            found.append(Message(role_of(item), text_of(item.get("content"))))
        elif kind in FIELDS:
            space = f"{item['namespace']}__" if item.get("namespace") else ""
            call = called(f"{space}{item.get('name')}", item.get(FIELDS[kind]))
            found.append(Message("assistant", call))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            found.append(Message("tool", text_of(item.get("output"), "output")))
        elif kind != "reasoning":
            found.append(Message("user", f"[{kind}]"))
    return merged(found)
