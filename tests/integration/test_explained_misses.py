"""Causes of misses and waits, injected on a real vLLM: each is named."""

from __future__ import annotations

import pytest

from explained import Injector, inject
from weft.backends.vllm import VLLMEngine
from weft.orchestrator.policy import parse_policy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

CAUSES = (
    *("new", "evicted", "superseded", "salt", "differs", "boundary"),
    *("busy", "ahead", "admission", "displaced"),
)


async def test_what_was_brought_about_is_named(small_replica: str) -> None:
    engine = VLLMEngine(small_replica, name="e0")
    engine.allow(concurrency=2)
    await engine.connect()
    try:
        found = await inject(Injector([engine], 32, 64), CAUSES, 1, parse_policy("fcfs"))
    finally:
        await engine.aclose()
    assert [one.said for one in found] == list(CAUSES), found
