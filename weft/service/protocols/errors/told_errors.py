"""Errors that engines tell where an answer should stand: under the status 200, or in a stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weft.backends.http.refusals import status_of
from weft.service.protocols.errors.error_words import ErrorWords, engine_words
from weft.service.protocols.errors.overflow import Overflow
from weft.service.protocols.events import first_said, member, object_in


def error_at_start(first: bytes) -> ErrorWords | None:
    """The error that a stream begins with, if it begins with one.

    Args:
        first: what has come of the stream.
    """
    return told_error(object_in(first_said(first)))


def told_error(said: dict[str, Any]) -> ErrorWords | None:
    """The error that an answer or an event tells of in place of an answer, with its status."""
    error: Any = said.get("error")
    if said.get("type") == "error" and not error:
        error = said
    if said.get("type") == "response.failed":
        error = member(said, "response", "error")
    if not error or said.get("choices") or said.get("object") == "response":
        return None
    words = engine_words(400, {"error": error})
    return words if Overflow.read(words) else replace(words, status=status_of(error))
