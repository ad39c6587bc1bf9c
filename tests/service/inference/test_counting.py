"""Tokens of Anthropic's messages counted by engines that speak only chat completions."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
import pytest

from live_service import LiveService, answered, raw_engine, serving

pytestmark = pytest.mark.loops("asyncio")

IMAGE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
ASKED: Any = {
    "model": "m",
    "system": "Be brief.",
    "tools": [{"name": "look", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "any"},
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": IMAGE}]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "And this?"},
    ],
}


class Tokenizer:
    """An engine that has no endpoint of Anthropic's, and answers as told where a chat is counted.

    Attributes:
        asked: path and body of each request.
    """

    def __init__(self, status: int, said: Any) -> None:
        self.status, self.said = status, said
        self.asked: list[tuple[str, Any]] = []

    async def __call__(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        head, _, raw = sent.partition(b"\r\n\r\n")
        path = head.split()[1].decode()
        body = json.loads(raw)
        if len(body.get("messages", ())) > 1:
            self.asked.append((path, body))
        status, said = 404, {"detail": "Not Found"}
        if path == "/tokenize":
            status, said = (200, {"tokens": [1]}) if "prompt" in body else (self.status, self.said)
        writer.write(answered(status, json.dumps(said).encode()))


@contextlib.asynccontextmanager
async def claude_over(
    tokenizer: Tokenizer,
) -> AsyncGenerator[tuple[LiveService, anthropic.AsyncAnthropic]]:
    async with (
        raw_engine(tokenizer, tokenizes=False) as engine,
        serving(engine.url) as service,
        anthropic.AsyncAnthropic(
            base_url=f"http://127.0.0.1:{service.port}", api_key="k", max_retries=0
        ) as client,
    ):
        yield service, client


@pytest.mark.parametrize("said", [{"count": 31, "tokens": [1] * 31}, {"tokens": [7] * 31}])
async def test_counts_come_from_the_tokenizer(said: Any) -> None:
    tokenizer = Tokenizer(200, said)
    async with claude_over(tokenizer) as (_, client):
        for _ in range(2):
            assert (await client.messages.count_tokens(**ASKED)).input_tokens == 31
    assert [path for path, _ in tokenizer.asked] == [
        "/v1/messages/count_tokens",
        "/tokenize",
        "/tokenize",  # what an engine lacks is known then
    ]
    body = tokenizer.asked[-1][1]
    assert body.pop("tools")[0]["function"]["name"] == "look"
    assert body == {
        "model": "m",
        "add_generation_prompt": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
                ],
            },
            {"role": "assistant", "content": "A cat."},
            {"role": "user", "content": "And this?"},
        ],
    }


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, {"detail": "Not Found"}), (405, {}), (200, {"tokens": []}), (200, {"count": "many"})],
)
async def test_without_a_tokenizer_one_sentence_says_so(status: int, said: Any) -> None:
    tokenizer = Tokenizer(status, said)
    async with claude_over(tokenizer) as (service, client):
        with pytest.raises(anthropic.NotFoundError, match="counts no tokens: it has neither"):
            await client.messages.count_tokens(**ASKED)
        assert service.inside.scheduler.replicas[0].alive
        assert service.idle()


async def test_what_the_tokenizer_refuses_is_told_in_the_clients_form() -> None:
    tokenizer = Tokenizer(400, {"error": {"message": "no template for tools", "type": "x"}})
    async with claude_over(tokenizer) as (_, client):
        with pytest.raises(anthropic.BadRequestError, match="no template for tools"):
            await client.messages.count_tokens(**ASKED)
