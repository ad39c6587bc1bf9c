"""Requests with images, over HTTP: what they are charged, and what they leave alone."""

from __future__ import annotations

import base64
import json
import random
import re
from typing import Any

import pytest

from live_service import CHAT, LiveService, answered, raw_engine, serving
from weft.orchestrator.estimates.text_lengths import TextLengths

pytestmark = pytest.mark.loops("asyncio")

TEXT = "The quick brown fox jumps over the lazy dog. " * 90


def image(seed: int, size: int = 100_000) -> dict[str, Any]:
    data = base64.b64encode(random.Random(seed).randbytes(size)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def asking(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]


async def counting(sent: bytes, writer: Any) -> None:
    """An engine for which an image has 1,500 tokens, and a token of text four bytes."""
    body = json.loads(sent.partition(b"\r\n\r\n")[2])
    content = json.dumps(body["messages"])
    images = content.count('"image_url":')
    text = sum(len(part.get("text", "")) for m in body["messages"] for part in _parts(m))
    usage = {"prompt_tokens": text // 4 + 1500 * images, "completion_tokens": 1}
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    writer.write(answered(200, json.dumps({"choices": [choice], "usage": usage}).encode()))


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"text": content}] if isinstance(content, str) else content


async def test_images_are_served_and_charged_by_what_engines_say() -> None:
    async with raw_engine(counting) as engine, serving(engine.url) as service:
        lengths = service.inside.conversations.lengths
        plain = [{"role": "user", "content": TEXT}]
        assert (await service.post(messages=plain)).status_code == 200
        before = lengths.token_bytes("m"), service.inside.chunk("m")

        history = asking(image(0, 1_000_000))
        headers = {"x-weft-program": "p"}
        for seed in range(1, 11):
            answer = await service.post(messages=history, _headers=headers)
            assert answer.status_code == 200, answer.text
            (call,) = list(service.inside.registry.programs["p"].calls)[-1:]
            assert call.prompt == answer.json()["usage"]["prompt_tokens"]
            history += [{"role": "assistant", "content": "a"}, *asking(image(seed))]
        assert (lengths.token_bytes("m"), service.inside.chunk("m")) == before
        assert 1300 < lengths.media("m") < 1700


async def test_before_an_engine_has_said_anything_an_image_counts_as_a_constant() -> None:
    async def silent(_: bytes, writer: Any) -> None:
        writer.write(answered(200, b'{"choices": []}'))

    async with raw_engine(silent) as engine, serving(engine.url) as service:
        headers = {"x-weft-program": "p"}
        each = TextLengths().media("m")
        for count in (1, 3):
            images = [image(seed, 1_000_000) for seed in range(count)]
            assert (await service.post(messages=asking(*images), _headers=headers)).is_success
            call = service.inside.registry.programs["p"].calls[-1]
            assert each * count <= call.prompt < each * count + 20


async def test_equal_images_are_one_prefix_and_others_are_not() -> None:
    async with raw_engine(counting) as engine, serving(engine.url) as service:
        cached = [await _cached(service, str(n), image(n // 2)) for n in range(4)]
    assert cached[0] == 0
    assert cached[1] > 900, "the image is known there"
    assert cached[2] < 50, "another one is not"
    assert cached[3] > 900


async def _cached(service: LiveService, program: str, part: Any) -> int:
    """Tokens that the scheduler takes for cached when a program begins with this part."""
    headers = {"x-weft-program": program}
    answer = await service.post(messages=asking(part), _headers=headers)
    found = re.search(r"(\d+) of \d+ tokens cached", answer.headers["x-weft-where"])
    assert found is not None
    return int(found[1])


async def test_the_engine_gets_the_image_as_it_was_sent() -> None:
    got: list[bytes] = []

    async def keeping(sent: bytes, writer: Any) -> None:
        got.append(sent.partition(b"\r\n\r\n")[2])
        await counting(sent, writer)

    async with raw_engine(keeping) as engine, serving(engine.url) as service:
        body = json.dumps({"model": "m", "messages": asking(image(0))}).encode()
        assert (await service.http.post(CHAT, content=body)).is_success
    assert got == [body]
