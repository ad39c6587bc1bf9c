"""Strategies on further names of a model, on its adapters, and on aliases of all of these."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from live_service import LiveService, serving
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine

pytestmark = pytest.mark.loops("asyncio")

CARDS: list[dict[str, Any]] = [{"id": "second"}, {"id": "lora", "parent": "m"}]
ALIASES = {"mine": "lora", "claude-*": "m", "gpt-5": "second"}


@contextlib.asynccontextmanager
async def service_of(
    **fields: Any,
) -> AsyncGenerator[tuple[LiveService, ScriptedEngine, ScriptedEngine]]:
    """A service of two engines, of which the second one has further names."""
    plain, named = ScriptedEngine("Hello", model="m"), ScriptedEngine("Hello", model="m")
    named.cards = CARDS
    with mock.running(plain) as one, mock.running(named) as two:
        async with serving(one, two, aliases=ALIASES, **fields) as service:
            yield service, plain, named


def asked(engine: ScriptedEngine) -> list[str]:
    """The models that calls of strategies have asked for."""
    return [http.body["model"] for http in engine.received if http.path == "/v1/completions"]


@pytest.mark.parametrize("name", ["lora", "mine"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_strategy_samples_from_the_adapter_where_it_is_loaded(
    name: str, stream: bool
) -> None:
    async with service_of() as (service, plain, named):
        answer = await service.post(model=f"{name}:majority(n=4)", stream=stream)
        assert answer.status_code == 200, answer.text
        assert set(asked(named)) == {"lora"}
        assert len(asked(named)) >= 2  # which decide the vote, if they are answered first
        assert asked(plain) == []


@pytest.mark.parametrize("name", ["second", "gpt-5", "claude-opus-4"])
async def test_a_strategy_on_another_name_of_the_model_runs_on_all_its_engines(name: str) -> None:
    async with service_of() as (service, plain, named):
        answer = await service.post(model=f"{name}:majority(n=4)")
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == f"{name}:majority(n=4)"
        assert set(asked(plain) + asked(named)) == {"m"}


async def test_a_configured_strategy_may_run_on_an_adapter() -> None:
    models = [{"name": "careful", "strategy": "majority(n=3)", "model": "lora"}]
    async with service_of(strategies={"models": models}) as (service, plain, named):
        assert (await service.post(model="careful")).status_code == 200
        assert set(asked(named)) == {"lora"}
        assert asked(plain) == []
        assert (await service.post(model="m:majority(n=3)")).status_code == 200
        assert (await service.post(model="nobody:majority(n=3)")).status_code == 404
