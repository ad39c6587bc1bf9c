"""Best-of-n programs that come while sessions run: siblings side by side, then a verdict."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from replayed import Outcome, Refused, Route, persistent
from words import text

PROMPT = 600  # tokens
WIDTH = 8
ANSWER = 48  # tokens of each sibling
GAP = 2.5  # seconds between programs


async def play_fan_out(
    http: aiohttp.ClientSession, route: Route, name: str, outcome: Outcome
) -> None:
    """Ask for `WIDTH` answers at once, and then for one word about the first of them."""
    session = name if route.named else ""
    question = {"role": "user", "content": text(name, PROMPT)}
    url = route.next(outcome.index)

    async def ask(messages: list[dict[str, str]], count: int, seed: int) -> str:
        body: dict[str, Any] = {
            "model": route.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": count,
            "min_tokens": count,
            "ignore_eos": True,
            "temperature": 1,
            "seed": seed,
        }
        answer, _, _ = await persistent(http, url, body, session, outcome)
        outcome.generated += count
        return answer

    try:
        async with asyncio.TaskGroup() as group:
            siblings = [group.create_task(ask([question], ANSWER, i)) for i in range(WIDTH)]
        said = {"role": "assistant", "content": siblings[0].result()}
        verdict = {"role": "user", "content": text(f"{name}:verdict", 8)}
        await ask([question, said, verdict], 1, 0)
    except* Refused:
        outcome.failed = True
    outcome.ended = time.monotonic()
