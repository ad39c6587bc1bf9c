"""What a vLLM server answers, as deltas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import httpx

from weft.backends.engine import OnDelta
from weft.backends.http import wire
from weft.backends.http.client import events
from weft.backends.http.refusals import GARBLED, error_in, garbled, in_stream
from weft.backends.vllm.answer_text import AnswerText
from weft.errors import RequestFailed
from weft.types import Delta


async def relay(
    url: str,
    response: httpx.Response,
    alternatives: int | None,
    answer: AnswerText,
    on_delta: OnDelta,
) -> None:
    """Hand a stream's pieces on, up to its end or a stop string that weft looks for itself.

    Args:
        url: of the server.
        response: whose stream begins.
        alternatives: how many were asked for at each token; None without log-probabilities.
        answer: the text so far.
        on_delta: takes the pieces.

    Raises:
        EngineError: the stream tells of an error, or breaks off.
    """
    last: Delta | None = None
    prompt: int | None = None
    cached: int | None = None
    reported, counted = alternatives is None, 0
    assert isinstance(response.stream, httpx.AsyncByteStream)
    with anyio.CancelScope() as scope:
        async for event in events(response.stream):
            if scope.cancel_called:
                continue
            try:
                if usage := event.get("usage"):
                    prompt, cached = wire.used(usage)
                if (error := error_in(event)) is not None:
                    raise in_stream(url, error)
                if not event.get("choices"):
                    continue
                choice = event["choices"][0]
                delta = wire.delta(choice, alternatives)
                end, ended = wire.end_token(choice, delta), choice.get("finish_reason")
            except GARBLED as error:
                raise garbled(url, error) from error
            reported = reported or bool(delta.logprobs)
            delta = await answer.mend(delta, end)
            counted += len(delta.tokens)
            if delta.finish_reason is None:
                on_delta(delta)
                continue
            last = delta  # its usage comes with the next event
            if ended is None:
                scope.cancel()  # a stop string that the server was not to look for
    if last is None:
        raise RequestFailed(f"the engine at {url} broke off in the middle of an answer")
    gaps = {
        "usage": prompt is not None or scope.cancel_called,
        "logprobs": reported or not counted,
        "text": not answer.lost,
    }
    missing = tuple(name for name, there in gaps.items() if not there)
    on_delta(replace(last, prompt_tokens=prompt, cached_tokens=cached, missing=missing))


def scored(answer: dict[str, Any], ask: tuple[int, ...]) -> Delta:
    """The one delta of a scoring request."""
    choice = answer["choices"][0]
    prompt, cached = wire.used(answer.get("usage") or {})
    return replace(
        wire.delta(choice, None),
        ask_logprobs=wire.ask_logprobs(choice, ask),
        prompt_tokens=prompt,
        cached_tokens=cached,
    )
