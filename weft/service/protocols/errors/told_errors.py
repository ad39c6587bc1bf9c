"""Errors that engines tell where an answer should stand: under the status 200, or in a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weft.service.protocols.errors.error_words import ErrorWords, engine_words
from weft.service.protocols.errors.overflow import Overflow
from weft.service.protocols.events import first_said, member, object_in

_STATUSES = {
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
}
"""Statuses of types and codes; all others say that the engine failed."""


def error_at_start(first: bytes) -> ErrorWords | None:
    """The error that a stream begins with, if it begins with one.

    Args:
        first: what has come of the stream.
    """
    return error_in(object_in(first_said(first)))


def error_in(said: dict[str, Any]) -> ErrorWords | None:
    """The error that an answer or an event tells of in place of an answer, with its status."""
    error: Any = said.get("error")
    if said.get("type") == "error" and not error:
        error = said
    if said.get("type") == "response.failed":
        error = member(said, "response", "error")
    if not error or said.get("choices") or said.get("object") == "response":
        return None
    return _with_status(engine_words(400, {"error": error}), error)


def _with_status(words: ErrorWords, error: Any) -> ErrorWords:
    if Overflow.read(words) is not None:
        return words
    for told in (member(error, "code"), member(error, "status"), member(error, "type")):
        if isinstance(told, str):
            told = int(told) if told.isdecimal() else _STATUSES.get(told.lower())
        if isinstance(told, int) and 400 <= told < 600:
            return replace(words, status=told)
    return replace(words, status=500)
