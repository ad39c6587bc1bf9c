"""Refusals: what an engine's HTTP answers mean that are no answers, one table for all engines."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from weft.errors import (
    ContextExceeded,
    EngineBusy,
    EngineError,
    EngineUnavailable,
    RequestFailed,
    RequestRejected,
)

BUSY = (429, 503, 529)
"""It can take nothing more for now. 529 is Anthropic's."""

LOST = (502, 504)
"""Something before the engine can't reach it."""

FAILED = (408, 409, 425)
"""The request may do better another time, as may any that is answered 500 and above."""

_FOR_GOOD = ("insufficient_quota", "billing_hard_limit_reached")
"""What 429 is also said for, though no waiting helps."""

_TOO_LONG = re.compile(
    r"context[ _](?:length|window|size|limit)|max_model_len|maximum model length|"
    r"(?:prompt|input|messages?|conversation) (?:is|are) too long|(?:prompt|tokens?) too long|"
    r"prompt is too (?:large|big)|maximum (?:prompt|sequence) length|"
    r"maximum number of tokens allowed|range of input length|model token limit|"
    r"token count(?: of)?(?: \(?\d+\)?)? exceeds|tokens? exceeds? |"
    r"too many (?:input |prompt )?tokens|"
    r"reduce the (?:length|size|number of tokens) (?:of|in) (?:the|your) (?:input|messages|prompt)|"
    # parameters of servers
    r"max_(?:num_tokens|seq_len|total_tokens|req_input_len|input_length|length is)|session_len|"
    r"n_ctx\b|expected maxLength|"
    r"`inputs` (?:must have less than|tokens \+ `max_new_tokens` must be)|"
    r"(?:prompt|input)(?: length| tokens?)?(?: \(?\d+(?: tokens)?\)?)? exceeds? "
    r"(?:the |maximum |max |allowed |model's |input |token )+(?:length|limit)",
    re.IGNORECASE,
)
_COMPARED = re.compile(r"exceed|too (?:long|large|big)|longer|larger|greater", re.IGNORECASE)
"""Some servers refuse a prompt with 500. They fail for other reasons that name lengths too."""
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


def refusal(
    url: str,
    status: int,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    prompt: int | None = None,
    context: int | None = None,
) -> EngineError:
    """The error that an answer amounts to which is none.

    Args:
        url: of the engine.
        status: of the answer.
        body: of the answer.
        headers: of the answer, names in small letters.
        prompt: tokens that were sent, where that is known.
        context: tokens that the model's context holds, where that is known.
    """
    said, code = server_message(body), _code(body)
    headers = headers or {}
    if status in BUSY and code not in _FOR_GOOD and headers.get("x-should-retry") != "false":
        return EngineBusy(f"{url} is busy ({status}): {said}", retry_after(headers), status)
    if status == 500 and says_too_long(status, said):
        return too_long(prompt, context, said)
    if status in LOST:
        return EngineUnavailable(f"the engine at {url} can't be reached ({status}): {said}")
    if status >= 500 or status in FAILED:
        return RequestFailed(f"the engine at {url} answered {status}: {said}", status, said)
    if code == "context_length_exceeded" or says_too_long(status, said):
        return too_long(prompt, context, said)
    if status in (401, 403):
        return RequestRejected(f"{url} refuses the key ({status}): {said}; pass `api_key`")
    return RequestRejected(f"the engine at {url} refused the request ({status}): {said}")


def says_too_long(status: int, message: str) -> bool:
    """Whether a refusal says that the context has no room for what was asked."""
    said = _TOO_LONG.search(message) is not None
    return said and (status != 500 or _COMPARED.search(message) is not None)


def error_in(event: Mapping[str, Any]) -> Any:
    """The error that an event of a stream tells of; None without one."""
    if error := event.get("error"):
        return error
    if "choices" in event:
        return None
    # Some servers write the event as they write an answer's body.
    kind = str(event.get("object") or event.get("type") or "").lower()
    return event if kind.endswith("error") or _number_of(event) else None


def in_stream(url: str, error: Any) -> EngineError:
    """What an error that a stream tells of amounts to."""
    return refusal(url, status_of(error), json.dumps({"error": error}).encode())


_STATUSES = (
    (re.compile(r"rate.?limit|too.many|quota|exhausted|throttl", re.IGNORECASE), 429),
    (re.compile(r"overloaded.error", re.IGNORECASE), 529),
    (re.compile(r"overload|unavailable|capacity", re.IGNORECASE), 503),
    (re.compile(r"too.large", re.IGNORECASE), 413),
    (re.compile(r"not.?found", re.IGNORECASE), 404),
    (re.compile(r"invalid.?(request|prompt)|bad.?request|context.length", re.IGNORECASE), 400),
    (re.compile(r"permission", re.IGNORECASE), 403),
    (re.compile(r"authentication|invalid.api.key", re.IGNORECASE), 401),
)
"""What the words of errors that come without a status are called by HTTP."""


def status_of(error: Any) -> int:
    """The HTTP status of an error that stands where an answer should, by its number or words."""
    if not isinstance(error, dict):
        return 500
    fields = cast(dict[str, Any], error)
    said = " ".join(str(fields.get(name, "")) for name in _NAMES)
    words = (status for words, status in _STATUSES if words.search(said))
    return _number_of(fields) or next(words, 500)


def _number_of(error: Mapping[str, Any]) -> int | None:
    """The HTTP status that an error names, as a number or a text."""
    given = [str(error.get(name)) for name in _NAMES]
    return next((int(one) for one in given if re.fullmatch("[45][0-9][0-9]", one)), None)


_NAMES = ("code", "status", "type")


GARBLED = (ValueError, LookupError, TypeError, AttributeError)
"""What reading an answer raises that has another form than it should."""


def garbled(url: str, error: Exception) -> RequestFailed:
    """The error for such an answer."""
    return RequestFailed(f"the engine at {url} answers with what can't be understood ({error!r})")


def too_long(prompt: int | None, context: int | None, message: str = "") -> ContextExceeded:
    """A prompt that does not fit."""
    length = f"of {prompt} tokens" if prompt is not None else "sent"
    room = f"holds {context} with the answer" if context is not None else f"is full: {message}"
    return ContextExceeded(
        f"the prompt {length} does not fit the model's context, which {room}; shorten the prompt",
        prompt,
        context,
    )


def server_message(body: bytes) -> str:
    """What a server says of its refusal, on one line."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = body.decode(errors="replace")
    while isinstance(found, dict):
        inner = cast(dict[str, Any], found)
        found = inner.get("error") or inner.get("message") or inner.get("detail") or str(inner)
        found = of_fields(found) or found
    return " ".join(str(found).split())[:400] or "no reason given"


def of_fields(detail: Any) -> str:
    """What a list of problems says, each with its field, as FastAPI writes them; else empty."""
    told: list[str] = []
    for one in cast(list[Any], detail) if isinstance(detail, list) else []:
        problem: Any = cast(dict[str, Any], one).get("msg") if isinstance(one, dict) else None
        place: Any = cast(dict[str, Any], one).get("loc") if isinstance(one, dict) else None
        if not isinstance(problem, str):
            return ""
        path = cast(list[Any], place) if isinstance(place, list) else []
        told.append(": ".join([*filter(None, [".".join(map(str, path))]), problem]))
    return "; ".join(told)


def _code(body: bytes) -> str:
    """The word for programs in a refusal, if there is one."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return ""
    error: Any = cast(Any, found).get("error") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        return ""
    given = cast(dict[str, Any], error)
    code = given.get("code") or given.get("type")
    return code if isinstance(code, str) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds after which an engine says to come again; None if it does not say.

    By `retry-after-ms` and `retry-after` (seconds or a date), else by when the limits that are
    used up begin anew.
    """
    if (wait := _number(headers.get("retry-after-ms", ""))) is not None:
        return wait / 1000
    after = headers.get("retry-after", "").strip()
    if after:
        wait = _number(after)
        if wait is None and (date := _date(after)) is not None:
            wait = _positive(date - (_date(headers.get("date", "")) or time.time()))
        return wait
    ends = [_reset(headers, name) for name in headers if _LIMIT.fullmatch(name)]
    return max((end for end in ends if end is not None), default=None)


def used_up(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Seconds for which an engine takes no more, as it says on answering; None if it does not.

    Engines with limits tell what remains of them; where that is 0, the next request would be
    refused until the limit begins anew.

    Args:
        headers: of an answer.
    """
    for name, _ in headers:  # asked at every answer
        if len(name) >= _SHORTEST and name.lower().find(b"ratelimit-") >= 0:
            break
    else:
        return None
    told = {k.decode("latin-1").lower(): v.decode("latin-1").strip() for k, v in headers}
    ends = [
        _reset(told, name)
        for name in told
        if _LIMIT.fullmatch(name) and told.get(name.replace("reset", "remaining")) == "0"
    ]
    return max((end for end in ends if end is not None), default=None)


_LIMIT = re.compile(r"((x|anthropic)-)?ratelimit-(.*-)?reset(-.*)?")
_SHORTEST = len("ratelimit-reset")


def _reset(headers: Mapping[str, str], name: str) -> float | None:
    """Seconds until a limit begins anew, if it is used up."""
    if _number(headers.get(name.replace("reset", "remaining"), "0")) is not None:
        return None  # more than nothing remains
    value = headers[name].strip()
    if (number := _number(value)) is not None:
        # Some tell a moment, in seconds or milliseconds since 1970.
        for moment in (number, number / 1000):
            if abs(moment - time.time()) < 366 * 86400:
                return _positive(moment - time.time())
        return number
    found = _DURATION.fullmatch(value)
    if found and value:
        hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
        return _positive(hours * 3600 + minutes * 60 + seconds + thousandths / 1000)
    date = _date(value)
    return _positive(date - time.time()) if date is not None else None


def _number(text: str) -> float | None:
    try:
        return _positive(float(text))
    except ValueError:
        return None


def _positive(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _date(text: str) -> float | None:
    """A moment in seconds since 1970, from the form of HTTP or of RFC 3339."""
    from email.utils import parsedate_to_datetime  # for this alone

    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return read(text).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
