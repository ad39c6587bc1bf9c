"""A strategy that is run again from a Store pays nothing, and gives the same."""

from __future__ import annotations

import random

import pytest

from strategy_specs import EACH
from weft.backends.scripted.engine import Scripted
from weft.orchestrator.pool import Pool
from weft.programs import run
from weft.search import parse_strategy, strategies
from weft.store.store import Store

pytestmark = pytest.mark.loops("asyncio", "virtual")


def test_none_is_left_out() -> None:
    assert {s.partition("(")[0] for s in EACH} == set(strategies())


@pytest.mark.parametrize("spec", EACH)
async def test_a_rerun_is_free(
    spec: str, question, player, playing, tmp_path, anyio_backend
) -> None:
    if "parallel" in spec and anyio_backend == "asyncio":
        # Events a few turns of the event loop apart may change places in a rerun.
        pytest.skip("its course depends on the order of simultaneous events")

    def slow(request):
        """Of different lengths, so that no two end at the same time."""
        rng = random.Random(f"{request.messages} {request.sampling.seed}")
        return Scripted(playing(request), seconds=0.0002 + rng.random() * 0.001)

    with Store(tmp_path / "store") as store:
        async with Pool(engine := player(slow, token_seconds=0.0001)) as pool:
            first = await run(parse_strategy(spec), question, pool=pool, store=store)
        assert engine.requests
    with Store(tmp_path / "store") as store:
        async with Pool(again := player()) as pool:
            second = await run(parse_strategy(spec), question, pool=pool, store=store)
    assert not again.requests
    assert second.value == first.value
