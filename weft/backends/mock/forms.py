"""What all forms of vLLM's HTTP interface have in common, as the mock server speaks it."""

from __future__ import annotations

import json
import math
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, cast

from weft.backends.scripted import script
from weft.backends.scripted.requests import named
from weft.errors import RequestRejected
from weft.types import Delta, Message, Role, Sampling

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""Our names of the roles."""


class AnswerForm(ABC):
    """How an endpoint writes one answer; a new object is made for each.

    Args:
        id: the request's.
        model: the name of the model that answers.
        body: what was asked.
        prompt: tokens of the prompt.
    """

    def __init__(self, id: str, model: str, body: dict[str, Any], prompt: int) -> None:
        self.id, self.model, self.body, self.prompt = id, model, body, prompt

    def opening(self) -> bytes:
        """What a streamed answer begins with, once its first token is there."""
        return b""

    @abstractmethod
    def events(self, delta: Delta) -> bytes:
        """The events of a delta."""

    @abstractmethod
    def closing(self, last: Delta, generated: int) -> bytes:
        """What a streamed answer ends with: `generated` tokens, of which `last` came last."""

    @abstractmethod
    def whole(self, delta: Delta) -> dict[str, Any]:
        """The answer, all in one delta."""


def joined(deltas: list[Delta]) -> Delta:
    """All of an answer in one delta."""
    last = deltas[-1]
    return Delta(
        "".join(delta.text for delta in deltas),
        tuple(token for delta in deltas for token in delta.tokens),
        sum(delta.count for delta in deltas),
        tuple(one for delta in deltas for one in delta.logprobs),
        last.ask_logprobs,
        last.finish_reason,
        last.ended,
        last.prompt_tokens,
        last.cached_tokens,
    )


def data(event: dict[str, Any]) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def named_event(event: dict[str, Any]) -> bytes:
    """A server-sent event that goes by its type."""
    return b"event: " + event["type"].encode() + b"\n" + data(event)


def unique(prefix: str) -> str:
    """A new id."""
    return f"{prefix}{uuid.uuid4().hex}"


def usage(last: Delta, generated: int) -> dict[str, Any]:
    """The usage of a whole answer, as chat and completions tell it."""
    prompt = last.prompt_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": last.cached_tokens or 0},
    }


KINDS = {400: "BadRequestError", 404: "NotFoundError"}


def failure(path: str, status: int, message: str) -> dict[str, Any]:
    """The body of an error in vLLM's form, which is Anthropic's below `/v1/messages`."""
    kind = KINDS.get(status, "InternalServerError")
    if path.startswith("/v1/messages"):
        return {"type": "error", "error": {"type": kind, "message": message}}
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def tools_text(body: dict[str, Any]) -> str:
    """The part of the prompt that tells the model of its tools."""
    tools = body.get("tools")
    return json.dumps(tools) if tools else ""


def text_of(content: Any, field: str = "content") -> str:
    """The text of a message's content: a text, or parts, of which texts alone are kept."""
    if content is None or isinstance(content, str):
        return content or ""
    texts: list[str] = []
    for part in objects(content, field):
        kind = str(part.get("type"))
        if kind in ("text", "input_text", "output_text", "refusal"):
            texts.append(str(part.get("text") or part.get("refusal") or ""))
        elif kind not in ("thinking", "redacted_thinking"):
            texts.append(f"[{kind}]")
    return "".join(texts)


def objects(value: Any, field: str) -> list[dict[str, Any]]:
    """A field that must be a list of objects."""
    if not isinstance(value, list) or not all(map(named, cast("list[Any]", value))):
        raise RequestRejected(f"{field} must be a text or a list of objects")
    return cast("list[dict[str, Any]]", value)


def role_of(message: dict[str, Any]) -> Role:
    """The role of a message."""
    role = message.get("role")
    if role not in ROLES:
        raise RequestRejected(f"role {role!r} must be one of {', '.join(ROLES)}")
    return ROLES[role]


def called(name: Any, arguments: Any) -> str:
    """A call of a tool as the model wrote it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return script.written("", [script.ToolCall(str(name), text)])


def merged(messages: Iterable[Message]) -> tuple[Message, ...]:
    """A conversation in which what the assistant said in one turn is one message."""
    found: list[Message] = []
    for one in messages:
        if found and one.role == found[-1].role == "assistant":
            found[-1] = Message("assistant", found[-1].content + one.content)
        else:
            found.append(one)
    return tuple(found)


def sampling(body: dict[str, Any], logprobs: int | None) -> Sampling:
    """The settings in a body of any form."""
    stop: Any = body.get("stop") or body.get("stop_sequences") or ()
    limits = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    given = [(name, body[name]) for name in limits if body.get(name) is not None]
    for name, limit in given:
        if not isinstance(limit, int) or limit < 1:
            raise RequestRejected(f"{name} must be a whole number of at least 1, not {limit!r}")
    for name in ("temperature", "top_p"):
        if not isinstance(body.get(name, 1.0), (int, float, type(None))):
            raise RequestRejected(f"{name} must be a number, not {body[name]!r}")
    return Sampling(
        max_tokens=given[0][1] if given else None,
        temperature=number(body.get("temperature")),
        top_p=number(body.get("top_p")),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        seed=body.get("seed"),
        logprobs=logprobs,
    )


def number(value: float | None) -> float:
    """A setting that is 1 where it is not given."""
    return 1.0 if value is None else value


def vector(text: str, size: int) -> list[float]:
    """A text's embedding: of length 1, the same each time, and near that of like texts."""
    sums = [0.0] * size
    for at, character in enumerate(text):
        sums[(ord(character) + at % 3) % size] += 1.0
    sums[0] += 1.0
    length = math.sqrt(sum(value * value for value in sums))
    return [value / length for value in sums]
