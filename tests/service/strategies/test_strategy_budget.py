"""The default budget of strategies as models lets each finish that has its default parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Limits
from weft.search import strategies
from weft.service.config.strategy_settings import Strategies
from weft.service.strategies.offers import StrategyModels
from weft.service.strategies.request import CHAT
from weft.types import Request

BUDGET = Limits(**dict(Strategies().budget))
MOST = {
    **dict.fromkeys(("beam", "dvts", "particle_filter", "rebase"), 512),
    **dict.fromkeys(("ab_mcts", "mcts"), 129),
    **dict.fromkeys(("atts", "deepconf_online", "glimprouter"), 32),
    **{"astar": 513, "particle_gibbs": 448, "power": 21, "specreason": 96},
    **{"spar": 28, "cpt": 156, "plangen": 280},
}
"""Calls at most: of 32 steps, 64 paths extended or 64 walks, each continuation is also scored."""


def deeper_is_worse(request: Request) -> Mapping[str, float]:
    """Scores that have a best-first search look at all paths of a depth before it goes deeper."""
    good = 0.99 ** len(request.messages[1].content)
    return {"yes": good, "no": 1 - good}


@pytest.mark.loops("asyncio")
@pytest.mark.parametrize("name", sorted(strategies()))
async def test_what_a_strategy_asks_at_most_is_within_the_budget(name: str) -> None:
    numbers = itertools.count()
    # All paragraphs differ, and there is no end of them.
    solver = ScriptedEngine(lambda _: f"{next(numbers)}\n\n", {"low": 1.0}, model="m")
    judge = ScriptedEngine("", deeper_is_worse, model="judge", takes_tokens=False)
    async with Pool(solver, judge, roles={"verifier": "judge"}) as pool:
        models = StrategyModels(pool, limits=BUDGET, roles={"verifier": "judge"})
        model = models.find(f"m:{name}")
        assert model is not None
        body = {"messages": [{"role": "user", "content": "Tell me all that there is."}]}
        about = (await model.whole(body, CHAT, "p"))["weft"]
    assert "budget" not in about
    assert about["calls"] == MOST.get(name, about["calls"])
    assert about["calls"] <= 16 or name in MOST
    assert BUDGET.calls is not None
    assert about["calls"] <= BUDGET.calls
