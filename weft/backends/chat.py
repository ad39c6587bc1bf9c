"""A stream of OpenAI's chat completions as deltas."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio

from weft.backends.engine import OnDelta
from weft.backends.wire import used
from weft.errors import EngineUnavailable
from weft.types import Delta, FinishReason, TokenLogprob


async def relay(
    stream: AsyncIterator[Any], stop: tuple[str, ...], on_delta: OnDelta, url: str
) -> None:
    """Hand a stream's pieces on, up to its end or a stop string."""
    text, counted = "", 0
    finish: str | None = None
    usage: dict[str, Any] = {}
    with anyio.CancelScope() as scope:
        async for event in stream:
            if scope.cancel_called:
                continue
            if error := event.get("error"):
                raise EngineUnavailable(f"{url} failed in an answer: {one_line(str(error))}")
            usage = event.get("usage") or usage
            if not event.get("choices"):
                continue
            choice = event["choices"][0]
            finish = choice.get("finish_reason") or finish
            piece: str = choice["delta"].get("content") or ""
            if not piece:
                continue
            logprobs = token_logprobs(choice.get("logprobs"))
            count = len(logprobs) or 1
            counted += count
            end = stop_end(text, piece, stop)
            text += piece
            if end is not None:
                on_delta(Delta(piece[:end], count=count, logprobs=logprobs, finish_reason="stop"))
                scope.cancel()  # unlike leaving the loop, this ends the generators below it
            else:
                on_delta(Delta(piece, count=count, logprobs=logprobs))
    if scope.cancel_called:
        return
    if finish is None:
        raise EngineUnavailable(f"{url} broke off in the middle of an answer; try again")
    prompt, cached = used(usage)
    on_delta(
        Delta(
            # A chunk need not be one token; the usage at the end is right.
            count=max(0, usage.get("completion_tokens", counted) - counted),
            finish_reason=finish_of(finish),
            ended=finish == "stop",
            prompt_tokens=prompt,
            cached_tokens=cached,
        )
    )


def stop_end(before: str, piece: str, stop: tuple[str, ...]) -> int | None:
    """Where in `piece` the first stop string ends that ends there."""
    longest = max(map(len, stop), default=0)
    tail = before[-(longest - 1) :] if longest > 1 else ""
    ends = [
        at + len(one) - len(tail) for one in stop if (at := (tail + piece).find(one)) >= 0 and one
    ]
    return min(ends, default=None)


def token_logprobs(reported: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    """One entry for each token, where they are reported."""
    content: list[dict[str, Any]] = (reported or {}).get("content") or []
    read: list[TokenLogprob] = []
    for one in content:
        tops: list[dict[str, Any]] = one.get("top_logprobs") or []
        top = {other["token"]: other["logprob"] for other in tops}
        read.append(TokenLogprob(one["token"], one["logprob"], top))
    return tuple(read)


def finish_of(reason: str | None) -> FinishReason:
    """Our name for the protocol's reason."""
    return "length" if reason == "length" else "stop"


def one_line(text: str) -> str:
    """A server's words, shortened to fit a sentence."""
    return " ".join(text.split())[:400]
