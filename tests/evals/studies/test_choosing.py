"""Searches among choices: at equal budgets, each choice tried once."""

from __future__ import annotations

import math

import pytest

from weft.evals.studies.choosing import SEARCHES, Choice, Trying

SPACE = {name: tuple(range(4)) for name in "abcd"}
BEST = {"a": 3, "b": 1, "c": 2, "d": 0}


async def additive(choice: Choice) -> float:
    return -sum(abs(choice[name] - BEST[name]) for name in BEST)


async def until_best(name: str, seed: int, trials: int = 120) -> int:
    """After how many trials a search has found the best choice."""
    trying = Trying(additive, trials)
    await SEARCHES[name](SPACE, trying, seed)
    values = [one.value for one in trying.done]
    return values.index(0.0) + 1 if 0.0 in values else trials


@pytest.mark.parametrize("name", ["tpe", "greedy"])
async def test_searches_find_the_best_of_an_additive_surface_sooner_than_chance(name: str) -> None:
    seeds = range(3)
    mine = [await until_best(name, seed) for seed in seeds]
    chance = [await until_best("random", seed) for seed in range(12)]
    assert sum(mine) / len(mine) < 0.7 * sum(chance) / len(chance)


@pytest.mark.parametrize("name", SEARCHES)
async def test_a_budget_is_hard_and_a_choice_is_tried_once(name: str) -> None:
    seen: list[int] = []

    async def value(choice: Choice) -> float:
        seen.append(choice["a"])
        return math.nan if choice["a"] == 1 else -float(choice["a"])

    space = {"a": (0, 1, 2), "b": (0, 1)}
    trying = Trying(value, 2, lambda choice: choice["a"])
    await SEARCHES[name](space, trying, 0)
    assert len(seen) == len(set(seen)) == len(trying.done) == 2
    # A space that is used up ends a search, too.
    trying = Trying(value, 50, lambda choice: choice["a"])
    await SEARCHES[name](space, trying, 0)
    assert len(trying.done) <= 3
    assert max(trying.done, key=lambda one: one.value).choice["a"] == 0
