"""The two ways in which frameworks reach an engine: through `weft serve`, and over a pool."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from live_service import LiveService, serving
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine


@asynccontextmanager
async def served(engine: ScriptedEngine) -> AsyncGenerator[tuple[str, LiveService]]:
    """The base URL of a service in front of an engine, and the service."""
    with mock.running(engine) as address:
        async with serving(address) as live:
            yield f"http://127.0.0.1:{live.port}/v1", live
