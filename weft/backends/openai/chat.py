"""A stream of chat completions as deltas, in the many forms in which endpoints write it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import anyio

from weft.backends.engine import OnDelta
from weft.backends.http.refusals import in_stream
from weft.backends.openai.call_pieces import CallPieces
from weft.backends.openai.reading import (
    as_object,
    error_of,
    finish_of,
    first_choice,
    said,
    stop_end,
    text_of,
)
from weft.backends.openai.sse import DONE
from weft.backends.openai.token_logprobs import TokenLogprobs
from weft.backends.openai.usage import Counts, counts
from weft.errors import RequestFailed, RequestRejected
from weft.types import Delta, FinishReason, TokenLogprob

_LETTERS = 6
"""Bytes that a token has at least, in the mean; for chunks of many tokens, until usage tells."""

_LONGEST, _RUN = 16, 256
"""Letters that tokens have at most in the mean, and those of a run of one letter."""


@dataclass(frozen=True)
class Wanted:
    """What a stream is to give.

    Attributes:
        stop: strings that end the answer.
        logprobs: whether log-probabilities were asked for.
        limit: most tokens.
        held: whether the endpoint was told so.
        missing: what could not be asked for.
    """

    stop: tuple[str, ...] = ()
    logprobs: bool = False
    limit: int | None = None
    held: bool = False
    missing: tuple[str, ...] = ()


async def relay(
    stream: AsyncIterator[Mapping[str, Any]],
    wanted: Wanted,
    on_delta: OnDelta,
    url: str,
    learn: Callable[[Any], bool],
) -> bool:
    """Hand a stream's pieces on, up to its end, a stop string or the limit.

    Args:
        stream: its events.
        wanted: what it is to give.
        on_delta: takes the pieces.
        url: of the endpoint.
        learn: told of a refusal that stands in place of an answer; whether the request may be
            sent again for what that taught.

    Returns:
        whether there was an answer; otherwise the request is to be sent again.

    Raises:
        EngineError: the stream tells of an error, or breaks off.
    """
    answer = Relayed(wanted, on_delta)
    error: Any = None
    with anyio.CancelScope() as scope:
        async for event in stream:
            if scope.cancel_called:
                continue
            if (error := error_of(event)) is None:
                answer.take(event)
            elif answer.whole:
                error = None  # it concerns what would follow, such as the usage
            if answer.over or error is not None:
                scope.cancel()  # unlike leaving the loop, this ends the generators below it
    if error is not None:
        failure = in_stream(url, error)
        if isinstance(failure, RequestRejected) and not answer.begun and learn(error):
            return False
        raise failure
    if not answer.over and not answer.end():
        raise RequestFailed(f"{url} broke off in the middle of an answer; try again")
    return True


class Relayed:
    """An answer as it comes.

    Attributes:
        over: whether a stop string or the limit has ended it.
    """

    def __init__(self, wanted: Wanted, on_delta: OnDelta) -> None:
        self.over = False
        self._wanted, self._on_delta = wanted, on_delta
        self._text = self._reasoning = ""
        self._half = ""  # of a character
        self._bytes = self._counted = 0
        self._counts = Counts()
        self._tokens = TokenLogprobs()
        self._finish: str | None = None
        self._calls = CallPieces()
        self._refused = self._done = self._logprobs = False

    @property
    def begun(self) -> bool:
        """Whether it has said anything."""
        return bool(self._text or self._reasoning or self._calls)

    @property
    def whole(self) -> bool:
        """Whether it has come to its end, so that all of it is here."""
        return self.begun and (self._done or finish_of(self._finish) in ("stop", "tool_calls"))

    def take(self, event: Mapping[str, Any]) -> None:
        """Read one event."""
        if event is DONE:
            self._done = True
            return
        choice = first_choice(event)
        now = counts(event, choice)
        self._counts = self._counts.later(now)
        if choice is None:
            return
        delta = as_object(choice.get("delta"))
        whole = as_object(choice.get("message"))
        finish = choice.get("finish_reason") or whole.get("finish_reason")
        finish = as_object(finish).get("type") or finish
        self._finish = str(finish) if finish else self._finish
        called = self._calls.take(delta) if delta else 0
        if not delta and whole and not self._calls:
            called = self._calls.take(whole)
        text, thought = said(delta) if delta else ("", "")
        if not delta and whole:
            # A server that does not stream, or one that repeats all at the end.
            text, thought = said(whole)
            text = text.removeprefix(self._text)
            thought = thought.removeprefix(self._reasoning)
        elif not delta:
            text = text_of(choice.get("text")) or text_of(choice.get("delta"))
        if not text and (refusal := text_of((delta or whole).get("refusal"))):
            text, self._refused = refusal, True
        text = self._paired(text)
        logprobs = self._tokens.read(choice.get("logprobs") or delta.get("logprobs"))
        self._logprobs = self._logprobs or bool(logprobs)
        if text or thought or logprobs or called:
            self._bytes += len((text + thought).encode("utf-8", "surrogatepass")) + called
            self._give(text, thought, logprobs, self._count(now.completion, len(logprobs)))

    def _paired(self, text: str) -> str:
        """A piece in whole characters: JSON may have one in two halves, each in its own event."""
        if self._half:
            text, self._half = self._half + text, ""
        if text.isascii():
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _give(
        self, text: str, thought: str, logprobs: tuple[TokenLogprob, ...], count: int
    ) -> None:
        end = stop_end(self._text, text, self._wanted.stop)
        self._text += text
        self._reasoning += thought
        finish: FinishReason | None = None
        if end is not None:
            text, finish = text[:end], "stop"
        elif self._too_long():
            finish = "length"
        if finish is None:
            self._on_delta(Delta(text, count=count, logprobs=logprobs, reasoning=thought))
            return
        self.over = True
        self._on_delta(
            Delta(
                text,
                count=count,
                logprobs=logprobs,
                reasoning=thought,
                finish_reason=finish,
                prompt_tokens=self._counts.prompt,
                cached_tokens=self._counts.cached,
                missing=self._missing(),
                calls=self._calls.calls,
            )
        )

    def _too_long(self) -> bool:
        """Whether the answer is to be broken off.

        Endpoints cut answers in various ways, and some don't count thinking. One that was told
        the limit has passed it only if the answer is longer than as many tokens ever are.
        """
        limit = self._wanted.limit
        if limit is None or not self._wanted.held:
            return limit is not None and self._counted >= limit
        return len(self._text) > _LONGEST * limit + _RUN

    def _count(self, reported: int | None, logprobs: int) -> int:
        """How many tokens a piece has, as far as that can be known before the end."""
        if reported:  # so far in all
            count = max(0, reported - self._counted)
        else:
            count = logprobs or max(1, self._bytes // _LETTERS - self._counted)
        self._counted += count
        return count

    def end(self) -> bool:
        """Give the last piece; whether the stream has come to an end that is one."""
        if self._finish is None and not (self._done and self.begun):
            return False
        given = finish_of(self._finish)
        finish = "refusal" if self._refused and given == "stop" else given
        if self._calls and given in ("stop", "function_call"):
            finish = "tool_calls"
        if self.begun and not self._counts.completion:
            self._counts = replace(self._counts, completion=None)  # that can't be
        used = self._counts
        total = used.completion
        self._on_delta(
            Delta(
                # A chunk need not be one token; the usage at the end is right.
                count=total - self._counted if total is not None else 0,
                finish_reason=finish,
                ended=finish == "stop",
                prompt_tokens=used.prompt,
                cached_tokens=used.cached,
                reasoning_tokens=used.reasoning,
                missing=self._missing(),
                calls=self._calls.calls,
            )
        )
        return True

    def _missing(self) -> tuple[str, ...]:
        used, limit = self._counts, self._wanted.limit
        passed = limit is not None and (used.completion or 0) - (used.reasoning or 0) > limit
        gaps = {
            "max_tokens": self._wanted.held and (passed or self._too_long()),
            "logprobs": self._wanted.logprobs and bool(self._text) and not self._logprobs,
            "usage": used.completion is None or used.prompt is None,
            "finish_reason": self._finish is None and not self.over,
        }
        found = [name for name, gap in gaps.items() if gap]
        return tuple(dict.fromkeys((*self._wanted.missing, *found)))
