"""What HTTP answers mean that are no answers, and when to come again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.http.refusals import error_in, in_stream, refusal, retry_after, used_up
from weft.errors import (
    ContextExceeded,
    EngineBusy,
    EngineError,
    EngineUnavailable,
    RequestFailed,
    RequestRejected,
)


def said(message: str, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, said("slow down"), EngineBusy),
        (503, b"", EngineBusy),
        (529, said("overloaded"), EngineBusy),
        (429, said("you are out of money", code="insufficient_quota"), RequestRejected),
        (500, said("index out of range"), RequestFailed),
        (520, b"<html>", RequestFailed),
        (408, b"", RequestFailed),
        (409, said("locked"), RequestFailed),
        (502, b"<html>bad gateway", EngineUnavailable),
        (504, b"", EngineUnavailable),
        (400, said("no such field"), RequestRejected),
        (401, said("who are you"), RequestRejected),
        (404, b"nothing", RequestRejected),
        (400, said("This model's maximum context length is 10 tokens."), ContextExceeded),
        (400, said("too much", code="context_length_exceeded"), ContextExceeded),
        (400, said("the request exceeds the available context size"), ContextExceeded),
        (400, said("Input is too long for requested model."), ContextExceeded),
        (413, said("prompt is too long: 9 tokens > 8 maximum"), ContextExceeded),
        (422, said("`inputs` must have less than 9 tokens. Given: 10"), ContextExceeded),
        (400, said("Prompt exceeds max length"), ContextExceeded),
        (500, said("the request exceeds the available context size"), ContextExceeded),
        (500, said("max_seq_len can't be read"), RequestFailed),
    ],
)
def test_each_status_has_its_kind(status: int, body: bytes, kind: type[EngineError]) -> None:
    error = refusal("http://h:1", status, body)
    assert type(error) is kind
    assert "http://h:1" in str(error) or kind is ContextExceeded


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"message": "slow", "code": "429"}}, EngineBusy),
        ({"error": {"message": "slow", "type": "rate_limit_error"}}, EngineBusy),
        ({"error": {"message": "slow", "status": "RESOURCE_EXHAUSTED"}}, EngineBusy),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "o"}}, EngineBusy),
        ({"error": {"message": "pay", "type": "insufficient_quota"}}, RequestRejected),
        ({"error": {"message": "no", "type": "invalid_request_error"}}, RequestRejected),
        ({"object": "error", "message": "no such field", "code": 400}, RequestRejected),
        ({"message": "too slow", "type": "BadRequestError", "code": 400}, RequestRejected),
        ({"error": {"code": "context_length_exceeded", "message": "m"}}, ContextExceeded),
        ({"error": {"message": "upstream", "code": 502}}, EngineUnavailable),
        ({"error": {"message": "oops", "code": "E17"}}, RequestFailed),
        ({"error": "oops"}, RequestFailed),
        ({"message": "hello"}, None),
        ({"error": None, "choices": []}, None),
        ({"choices": [], "type": "error"}, None),
    ],
)
def test_errors_that_streams_tell_of(event: dict[str, object], kind: type | None) -> None:
    error = error_in(event)
    assert (error and type(in_stream("u", error))) == kind


def test_what_is_not_to_be_sent_again_is_refused() -> None:
    error = refusal("u", 429, b"", {"x-should-retry": "false", "retry-after": "1"})
    assert type(error) is RequestRejected


def date(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-4"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": lambda: format_datetime(date(900), usegmt=True)}, 900),
        ({"retry-after": lambda: format_datetime(date(-20), usegmt=True)}, None),
        # By the server's own clock, if it tells it.
        (
            {
                "retry-after": "Wed, 21 Oct 2015 07:28:10 GMT",
                "date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            10,
        ),
        ({"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-remaining-requests": "0"}, 90),
        ({"x-ratelimit-reset-tokens": "250ms"}, 0.25),
        (
            {
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-requests": "12",
                "x-ratelimit-reset-tokens": "2s",
                "x-ratelimit-remaining-tokens": "0",
            },
            2,
        ),
        ({"x-ratelimit-reset": "7"}, 7),
        ({"x-ratelimit-reset": lambda: f"{time.time() + 900:.0f}"}, 900),
        ({"x-ratelimit-reset": lambda: f"{(time.time() + 900) * 1000:.0f}"}, 900),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": lambda: date(900).isoformat(),
            },
            900,
        ),
        ({"x-ratelimit-reset-requests": "whenever"}, None),
    ],
)
def test_when_to_come_again(
    headers: dict[str, str | Callable[[], str]], seconds: float | None
) -> None:
    found = retry_after({name: v if isinstance(v, str) else v() for name, v in headers.items()})
    if seconds is None:
        assert found is None
    else:
        assert found == pytest.approx(seconds, abs=60 if seconds > 800 else 0.01)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1.5s"}, 1.5),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3"}, 3),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "4"}, 4),
        ({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "9s"}, None),
        ({"x-ratelimit-reset-tokens": "9s"}, None),  # it does not say what remains
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "9s"}, None),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({"retry-after": "9"}, None),  # of an answer that is one
    ],
)
def test_limits_that_are_used_up(headers: dict[str, str], seconds: float | None) -> None:
    assert used_up([(k.encode(), v.encode()) for k, v in headers.items()]) == seconds


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "retry-after",
                "retry-after-ms",
                "date",
                "x-ratelimit-reset",
                "x-ratelimit-reset-tokens",
            ]
        ),
        st.one_of(st.text(max_size=30), st.floats().map(str), st.integers().map(str)),
    )
)
def test_whatever_headers_say_it_is_a_wait_or_none(headers: dict[str, str]) -> None:
    found = retry_after(headers)
    assert found is None or 0 < found < float("inf")


@given(st.integers(400, 599), st.binary(max_size=60))
def test_whatever_comes_is_an_error_of_one_line(status: int, body: bytes) -> None:
    error = refusal("http://h:1", status, body)
    assert isinstance(error, EngineError)
    assert "\n" not in str(error)
