"""Engines that say with an answer that their limits are used up get nothing until the reset."""

from __future__ import annotations

import asyncio
import json

import pytest

from live_service import answered, raw_engine, serving
from weft import Pool, Prompt, generate
from weft.backends.openai import OpenAIEngine

pytestmark = pytest.mark.loops("asyncio")

RESET = 0.4
LIMITS = f"x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: {RESET}s\r\n".encode()
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"fine"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\ndata: [DONE]\n\n'
)
WHOLE = json.dumps(
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}}]}
).encode()


class Timed:
    """Answers, and notes when it was asked."""

    def __init__(self, body: bytes, kind: str) -> None:
        self.times: list[float] = []
        head, rest = answered(200, body, kind).split(b"\r\n", 1)
        self._answer = head + b"\r\n" + LIMITS + rest

    async def reply(self, _: bytes, writer: asyncio.StreamWriter) -> None:
        self.times.append(asyncio.get_running_loop().time())
        writer.write(self._answer)


async def test_calls_of_programs_wait_until_then() -> None:
    timed = Timed(EVENTS, "text/event-stream")
    async with (
        raw_engine(timed.reply) as there,
        Pool(OpenAIEngine("m", there.url + "/v1", "k")),
    ):
        for _ in range(3):
            assert (await generate(Prompt.user("hi"))).text == "fine"
    first, second, third = timed.times
    assert second - first >= RESET - 0.01
    assert third - second >= RESET - 0.01


async def test_requests_to_the_service_wait_until_then() -> None:
    timed = Timed(WHOLE, "application/json")
    async with raw_engine(timed.reply) as there, serving(there.url) as service:
        for _ in range(2):
            answer = await service.post()
            assert answer.status_code == 200
        assert "asked later" in answer.headers["x-weft-wait"]
    first, second = timed.times
    assert second - first >= RESET - 0.01
