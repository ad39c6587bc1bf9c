"""A strategy that is run again from a Store pays nothing, and gives the same."""

from __future__ import annotations

import random

import pytest

from weft.backends.scripted.engine import Scripted
from weft.orchestrator.pool import Pool
from weft.programs import run
from weft.search import parse_strategy, strategies
from weft.store.store import Store

pytestmark = pytest.mark.loops("asyncio", "virtual")

SPECS = [
    "greedy",
    "best_of_n(n=6)",
    "majority(n=6)",
    "weighted_majority(n=6)",
    "first_finish(n=3)",
    "short_m_at_k(m=2, k=4)",
    "beam(n=8, width=4)",
    "astar(k=4)",
    "astar(k=3, parallel=3, cost=fall, heuristic=log, solutions=2, pick=vote)",
    "particle_filter(n=6)",
    "particle_filter(n=6, pick=draw, verifier=logprob)",
]


def test_none_is_left_out() -> None:
    assert {s.partition("(")[0] for s in SPECS} == set(strategies())


@pytest.mark.parametrize("spec", SPECS)
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
