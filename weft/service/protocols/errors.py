"""Errors in the form of OpenAI's endpoints."""

from __future__ import annotations

from typing import Any

import orjson

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
_PARAMETERS = {NO_RESPONSE: "previous_response_id"}


def openai_error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """What stands under `error`; a code by the status if none is given."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    code = code or _CODES.get(status)
    return {"message": message, "type": kind, "param": _PARAMETERS.get(code or ""), "code": code}


def openai_body(status: int, message: str, code: str | None = None) -> bytes:
    """The body of an error."""
    return orjson.dumps({"error": openai_error(status, message, code)})


def openai_event(message: str) -> bytes:
    """An error within a stream of chat or completions, and the stream's end, as vLLM sends it."""
    return b"data: " + openai_body(500, message) + b"\n\ndata: [DONE]\n\n"
