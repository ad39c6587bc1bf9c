"""What is told of an error, and how OpenAI's endpoints write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from weft.backends.http.refusals import of_fields

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
# Clients look at some codes. Those of overload are left out on purpose: Codex takes
# `server_is_overloaded` and `slow_down` for final and would not come again after Retry-After.
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


NO_RESPONSE = "previous_response_not_found"
TOO_LONG = "context_length_exceeded"
_PARAMETERS = {NO_RESPONSE: "previous_response_id"}
# vLLM names exceptions as types, which no client knows.
_TYPE = re.compile(r"[a-z_]+_error|request_too_large")


@dataclass(frozen=True, slots=True)
class ErrorWords:
    """An error before a protocol has written it.

    Attributes:
        status: of the HTTP answer that it is, or would be if the stream had not begun.
        message: what is wrong.
        kind: its type, where an engine has named one; else the status says it.
        code: a word for programs, where the status does not say it all.
        param: the field of the request that is wrong.
        about: the `weft` member of the body, as answers of strategies have it.
    """

    status: int
    message: str
    kind: str = ""
    code: str | int | None = None
    param: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])


def engine_words(status: int, said: Any) -> ErrorWords:
    """What an engine says of an error, in whichever protocol.

    Args:
        status: of its answer.
        said: the body of its answer, from JSON.
    """
    error: Any = cast(dict[str, Any], said).get("error", said) if isinstance(said, dict) else said
    if isinstance(error, str) and error:
        return ErrorWords(status, error)
    one = cast(dict[str, Any], error) if isinstance(error, dict) else {}
    detail = one.get("detail")
    texts = [one.get("message"), detail, of_fields(detail), f"the engine answered {status}"]
    message = next(text for text in texts if isinstance(text, str) and text)
    kind, code, param = one.get("type"), one.get("code"), one.get("param")
    return ErrorWords(
        status,
        message,
        kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else "",
        code if isinstance(code, str | int) else None,
        param if isinstance(param, str) else None,
    )


def openai_error(words: ErrorWords) -> dict[str, Any]:
    """What stands under `error`; a code by the status if none is given."""
    status, code = words.status, words.code or _CODES.get(words.status)
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    param = words.param or (_PARAMETERS.get(code) if isinstance(code, str) else None)
    return {"message": words.message, "type": words.kind or kind, "param": param, "code": code}


def openai_body(words: ErrorWords) -> bytes:
    """The body of an error."""
    more = {"weft": words.about} if words.about else {}
    return orjson.dumps({"error": openai_error(words), **more})


def openai_event(words: ErrorWords) -> bytes:
    """An error within a stream of chat or completions, and the stream's end, as vLLM sends it."""
    return b"data: " + openai_body(words) + b"\n\ndata: [DONE]\n\n"
