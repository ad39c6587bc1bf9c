"""What a client asks of a strategy: the body of a request, read into plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from weft.errors import UsageError
from weft.programs import Prompt
from weft.programs.calls.settings import check_more
from weft.types import MoreSampling, Role

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"


@dataclass(frozen=True, slots=True)
class StrategyRequest:
    """A request to a strategy.

    Attributes:
        prompt: the conversation.
        max_tokens: most tokens of an answer; None leaves it to the context's end.
        temperature: None if the client leaves it to the strategy.
        top_p: nucleus sampling; 1 is off.
        stop: strings that end the answer and are no part of it.
        seed: None leaves it to chance.
        schema: a JSON schema that the answer must follow.
        usage: whether a streamed answer is to end with its usage (chat only).
        sampling: further settings of the calls, such as `top_k`.
    """

    prompt: Prompt
    max_tokens: int | None
    temperature: float | None
    top_p: float
    stop: tuple[str, ...]
    seed: int | None
    schema: dict[str, Any] | None
    usage: bool
    sampling: MoreSampling


NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_generation_prompt": (True,),
    "audio": (),
    "background": (False,),
    "bad_words": ([],),
    "best_of": (1,),
    "chat_template": (),
    "continue_final_message": (False,),
    "conversation": (),
    "echo": (False,),
    "functions": ([],),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "ignore_eos": (False,),
    "logprobs": (False,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "n": (1,),
    "previous_response_id": (),
    "prompt": (),
    "prompt_logprobs": (),
    "stop_token_ids": ([],),
    "structured_outputs": (),
    "top_logprobs": (0,),
}
"""Fields that no strategy can honour, and the values of them that ask for nothing."""

SETTINGS = ("top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
"""Fields that hold for all calls of a strategy, as they do for one call of a model."""

EXTRA = ("chat_template_kwargs", "logit_bias")
"""Objects that engines get as they come."""

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_TEXTS = ("text", "input_text", "output_text")


def read(body: Mapping[str, Any], path: str) -> StrategyRequest:
    """Read a body.

    Args:
        body: the request's JSON object.
        path: the endpoint, `/v1/chat/completions` or `/v1/responses`.

    Raises:
        UsageError: a field is of the wrong kind, or asks for what no strategy can do.
    """
    if path not in (CHAT, RESPONSES):
        raise UsageError(f"a strategy answers at {CHAT} and {RESPONSES}, not at {path}")
    if body.get("tools"):
        raise UsageError(
            "tools can't be used with a strategy, which answers in text only; leave tools out, "
            "or name the model without a strategy"
        )
    for name, values in NEUTRAL.items():
        given = body.get(name)
        if given is not None and given not in values:
            raise UsageError(f"{name} can't be used with a strategy; leave it out")
    chat = path == CHAT
    most = ("max_completion_tokens", "max_tokens") if chat else ("max_output_tokens",)
    limits = [limit for name in most if (limit := _whole(body, name, 1)) is not None]
    return StrategyRequest(
        _prompt(_messages(body) if chat else _items(body)),
        limits[0] if limits else None,
        _number(body, "temperature", 0, 2),
        _top_p(body),
        _stop(body.get("stop")),
        _whole(body, "seed"),
        _schema(body) if chat else _text_format(body),
        _part(body, "stream_options").get("include_usage") is True,
        _sampling(body, chat),
    )


def _sampling(body: Mapping[str, Any], chat: bool) -> MoreSampling:
    """Settings that few requests have.

    Raises:
        UsageError: one is of the wrong kind or out of range.
    """
    more = {name: body[name] for name in SETTINGS if body.get(name) is not None}
    effort = body.get("reasoning_effort") if chat else _part(body, "reasoning").get("effort")
    if effort is not None:
        more["reasoning_effort"] = effort
    if extra := {name: dict(part) for name in EXTRA if (part := _part(body, name))}:
        more["extra"] = extra
    check_more(more)
    return cast("MoreSampling", more)


def _prompt(turns: list[tuple[Role, str]]) -> Prompt:
    prompt = Prompt()
    for role, text in turns:
        prompt = Prompt(prompt, role, text)
    return prompt


def _messages(body: Mapping[str, Any]) -> list[tuple[Role, str]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UsageError("messages must be a list with at least one message")
    given = cast(list[Any], messages)
    return [_turn(one, f"messages[{at}]") for at, one in enumerate(given)]


def _items(body: Mapping[str, Any]) -> list[tuple[Role, str]]:
    turns: list[tuple[Role, str]] = []
    if (instructions := body.get("instructions")) is not None:
        if not isinstance(instructions, str):
            raise UsageError("instructions must be a text")
        turns.append(("system", instructions))
    given = body.get("input")
    if isinstance(given, str):
        return [*turns, ("user", given)]
    if not isinstance(given, list) or not given:
        raise UsageError("input must be a text, or a list with at least one message")
    for at, item in enumerate(cast(list[Any], given)):
        kind = cast(Mapping[str, Any], item).get("type") if isinstance(item, Mapping) else None
        if kind == "reasoning":
            continue  # what a model thought of an earlier turn is not sent to it again
        if kind not in (None, "message"):
            raise UsageError(
                f"input[{at}] is of type {_shown(kind)}, but a strategy answers in text only; "
                "send messages"
            )
        turns.append(_turn(item, f"input[{at}]"))
    return turns


def _turn(message: Any, where: str) -> tuple[Role, str]:
    if not isinstance(message, Mapping):
        raise UsageError(f"{where} must be an object with role and content")
    given = cast(Mapping[str, Any], message)
    role = given.get("role")
    if role in ("tool", "function") or given.get("tool_calls") or given.get("function_call"):
        raise UsageError(
            f"{where} uses a tool, but a strategy answers in text only; name the model without a "
            "strategy"
        )
    if not isinstance(role, str) or role not in _ROLES:
        raise UsageError(f"role of {where} must be one of {', '.join(_ROLES)}")
    return _ROLES[role], _text(given.get("content"), f"{where}.content")


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise UsageError(f"{where} must be a text or a list of text parts")
    texts: list[str] = []
    for at, part in enumerate(cast(list[Any], content)):
        given: Mapping[str, Any] = cast(Any, part) if isinstance(part, Mapping) else {}
        text = given.get("text")
        if given.get("type") not in _TEXTS or not isinstance(text, str):
            raise UsageError(
                f"{where}[{at}] is of type {_shown(given.get('type'))}, but a strategy reads text "
                "only; send parts of type text"
            )
        texts.append(text)
    return "\n".join(texts)


def _shown(value: Any) -> str:
    """A client's value in a message, which must stay short."""
    return repr(value)[:40] if isinstance(value, str) else f"a {type(value).__name__}"


def _whole(body: Mapping[str, Any], name: str, least: int | None = None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{name} must be a whole number")
    if least is not None and value < least:
        raise UsageError(f"{name} must be at least {least}")
    return value


def _number(body: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{name} must be a number from {least:g} to {most:g}")
    return float(value)


def _top_p(body: Mapping[str, Any]) -> float:
    value = _number(body, "top_p", 0, 1)
    if value == 0:
        raise UsageError("top_p must be above 0")
    return 1.0 if value is None else value


def _stop(given: Any) -> tuple[str, ...]:
    stops = [given] if isinstance(given, str) else given or []
    if not isinstance(stops, list):
        raise UsageError("stop must be a text or a list of texts")
    texts = cast(list[Any], stops)
    if not all(isinstance(one, str) and one for one in texts):
        raise UsageError("stop must hold texts that are not empty")
    return tuple(texts)


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must be an object")
    return cast(Mapping[str, Any], value)


def _schema(body: Mapping[str, Any]) -> dict[str, Any] | None:
    form = _part(body, "response_format")
    return _schema_of(form, _part(form, "json_schema"), "response_format.json_schema")


def _text_format(body: Mapping[str, Any]) -> dict[str, Any] | None:
    form = _part(_part(body, "text"), "format")
    return _schema_of(form, form, "text.format")


def _schema_of(
    form: Mapping[str, Any], holder: Mapping[str, Any], where: str
) -> dict[str, Any] | None:
    """The schema that a format asks for."""
    match form.get("type", "text"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            schema = holder.get("schema")
            if not isinstance(schema, dict):
                raise UsageError(f"{where} must have a schema, a JSON object")
            return cast(dict[str, Any], schema)
        case other:
            raise UsageError(
                f"a format of type {_shown(other)} can't be used with a strategy; use text, "
                "json_object or json_schema"
            )
