"""The service in front of real vLLM: every endpoint, prefixes found again, tenants apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from live_service import LiveService, serving
from weft.service.config.api_key import hash_key

pytestmark = [pytest.mark.loops("asyncio"), pytest.mark.integration, pytest.mark.timeout(900)]

LONG = "Count down from the number. " * 60
KEYS = {"ann": "weft-key-of-ann-0123456789", "bob": "weft-key-of-bob-0123456789"}


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "countdown",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 4,
        "temperature": 0,
        **more,
    }


async def test_every_endpoint_reaches_vllm(replicas: list[str]) -> None:
    async with serving(*replicas) as service:
        chat = await post(service, "/v1/chat/completions", ask("Hello"))
        assert chat["usage"]["completion_tokens"] <= 4
        text = {"model": "countdown", "prompt": "Hello", "max_tokens": 2}
        assert (await post(service, "/v1/completions", text))["choices"]
        said = {"model": "countdown", "input": "Hello", "max_output_tokens": 4}
        assert (await post(service, "/v1/responses", said))["object"] == "response"
        message = await post(service, "/v1/messages", ask("Hello"))
        assert message["type"] == "message"
        assert message["usage"]["output_tokens"] <= 4
        counted = await post(service, "/v1/messages/count_tokens", ask("Hello"))
        assert counted["input_tokens"] == message["usage"]["input_tokens"]
        tokens = await post(service, "/tokenize", {"model": "countdown", "prompt": "Hello"})
        assert tokens["count"] == len(tokens["tokens"])


async def post(
    service: LiveService, path: str, body: dict[str, Any], key: str | None = None
) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = await service.http.post(path, json=body, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_conversation_finds_its_prefix_again(replicas: list[str]) -> None:
    """Though the client names no program, its turns go to the engine that has its cache."""
    async with serving(*replicas) as service:
        talk = [{"role": "user", "content": f"A conversation. {LONG}"}]
        engines: set[str] = set()
        for turn in range(3):
            body = {**ask(""), "messages": talk, "stream": True}
            events: list[dict[str, Any]] = []
            async with service.http.stream(
                "POST", "/v1/chat/completions", json=body, timeout=120
            ) as answer:
                assert answer.status_code == 200
                engines.add(answer.headers["x-weft-engine"])
                program = answer.headers["x-weft-program"]
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        events.append(json.loads(line[6:]))
            assert all(event["choices"] for event in events)  # the usage was not asked for
            text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events)
            talk += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": f"Go on, {turn}."},
            ]
        assert len(engines) == 1
        record = service.inside.registry.programs[program]
        assert record.count == 3
        first, *later = record.calls
        assert first.prompt > 300
        assert all(call.cached >= 0.8 * first.prompt for call in later)


async def test_tenants_do_not_share_prefixes(replicas: list[str]) -> None:
    """By default one tenant can't learn from times what another one has asked."""
    tenants = [{"name": name, "keys": [hash_key(key)]} for name, key in KEYS.items()]
    async with serving(replicas[0], tenants=tenants) as service:
        cached: dict[str, list[int]] = {"ann": [], "bob": []}
        for name in ("ann", "bob", "ann", "bob"):
            body = ask(f"A secret of a tenant. {LONG}")
            answer = await post(service, "/v1/chat/completions", body, KEYS[name])
            cached[name].append(answer["usage"]["prompt_tokens_details"]["cached_tokens"])
        assert cached["ann"][0] == cached["bob"][0] == 0
        assert min(cached["ann"][1], cached["bob"][1]) > 300


async def test_a_strategy_answers_as_a_model(replicas: list[str]) -> None:
    async with serving(*replicas) as service:
        answer = await post(
            service, "/v1/chat/completions", {**ask("Hello"), "model": "countdown:majority(n=4)"}
        )
        assert answer["weft"]["calls"] == 4
        assert answer["choices"][0]["message"]["content"]
