"""What strategies declare of themselves, and what is said where a need can't be met."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.search import Strategy, parse_strategy, strategies
from weft.search.needs import lacking
from weft.search.strategy import FAMILIES, NEEDS
from weft.search.verifiers import read_verifier


@pytest.mark.parametrize("name", sorted(strategies()))
def test_every_strategy_says_what_it_is(name: str) -> None:
    one = strategies()[name]
    assert one.family in FAMILIES
    assert set(one.needs) <= set(NEEDS)
    asks = any(p.read is read_verifier for p in one.parameters())
    assert ("verifier" in one.needs) == asks


async def said(spec: str | Strategy, question, **engine) -> list[str]:
    async with Pool(ScriptedEngine("1", **engine), roles={"solver": "scripted"}) as pool:
        return lacking(parse_strategy(spec), question, pool)


async def test_nothing_is_said_where_all_is_there(question) -> None:
    for name in ("astar", "best_of_n(verifier=logprob)", "majority(think=true)"):
        assert await said(name, question) == []


@pytest.mark.parametrize(
    ("spec", "without", "says"),
    [
        ("beam", {}, "beam(n=8, width=4, verifier=model) needs an engine that continues open "
         "answers, such as vLLM, but scripted can't"),
        ("best_of_n", {"verify": None}, "no verify prompt"),
        ("best_of_n(verifier=function)", {"check": None}, "no exact check"),
        ("best_of_n(verifier=role:judge)", {}, "unknown role 'judge'"),
    ],
)  # fmt: skip
async def test_each_lack_is_one_sentence(spec, without, says, question) -> None:
    found = await said(spec, replace(question, **without), takes_tokens=False)
    assert [says in one for one in found] == [True]


async def test_a_second_model_and_thinking(question) -> None:
    @dataclass(frozen=True)
    class Both(Strategy):
        """Needs what there isn't."""

        name = "both"
        needs = ("draft", "thinking")

        async def solve(self, question):
            raise NotImplementedError

    found = await said(Both(), replace(question, think=None))
    assert [one.partition(", but ")[2] for one in found] == [
        "scripted plays it too",
        "the task does not ask for thinking, nor does the model begin with it",
    ]
    assert await said(Both(), question) == found[:1]


async def test_the_second_model_must_go_on_with_open_answers_too(question) -> None:
    engines = ScriptedEngine(model="large"), ScriptedEngine(model="small", takes_tokens=False)
    async with Pool(*engines, roles={"solver": "large", "draft": "small"}) as pool:
        found = lacking(parse_strategy("nudging"), question, pool)
    assert [one.partition(", but ")[2] for one in found] == ["small can't"]
