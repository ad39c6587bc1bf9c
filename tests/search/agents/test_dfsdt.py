from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import RequestRejected, UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Limits, Prompt, budget, generate
from weft.search import AgentTurn, dfsdt, preferences, write_preferences

State = tuple[str, ...]
TREE = {
    # Of each state the turns that the agent takes from there, one after another.
    "": "a b",
    "a": "a1? a2",
    "b": "b1- b2",
    "b2": "b21 b22!",
    "b21": "b211- b212-",
}
"""`!` is an answer, `?` gives up, `-` is an error."""


class World:
    """An agent with tools, by a script."""

    def __init__(self, tree: dict[str, str] | None = None, **turn) -> None:
        self.tree = {k: v.split() for k, v in (tree or TREE).items()}
        self.turn = turn
        self.visited: list[str] = []
        self.told: dict[str, list[str]] = {}

    async def expand(self, state: str, tried: Sequence[AgentTurn[str]]) -> AgentTurn[str]:
        name = self.tree[state][len(tried)]
        end = {"!": "answer", "?": "give up", "-": "error"}.get(name[-1])
        name = name.rstrip("!?-")
        self.visited.append(name)
        self.told[name] = [turn.shown for turn in tried]
        return AgentTurn(name, f"did {name}", end, **self.turn)  # pyright: ignore


async def test_the_order_of_visits_and_how_far_it_climbs_back() -> None:
    world = World()
    found = await dfsdt(world.expand, "")
    # After giving up at a1 a2 is left out; after an error at b1 and two at b211, b212 it is not.
    assert world.visited == ["a", "a1", "b", "b1", "b2", "b21", "b211", "b212", "b22"]
    assert (found.state, found.found, found.answers, found.calls) == ("b22", True, ("b22",), 9)
    # Siblings are told of, and nobody below hears of them.
    assert world.told["b"] == ["did a"]
    assert world.told["b2"] == ["did b1"]
    assert world.told["b21"] == []


async def test_after_an_answer_it_climbs_back_two_places() -> None:
    tree = {"": "a b", "a": "a1 a2!", "a1": "x! y!", "b": "b1! b2!"}
    world = World(tree)
    found = await dfsdt(world.expand, "", answers=5)
    assert world.visited == ["a", "a1", "x", "a2", "b", "b1"]
    # a2 is an answer below a, so b is next; b1 is one below b, and then the root is done.
    assert found.answers == ("x", "a2", "b1")
    assert (await dfsdt(World(tree).expand, "", answers=2)).answers == ("x", "a2")


async def test_calls_are_capped() -> None:
    for most in range(1, 9):
        world = World()
        found = await dfsdt(world.expand, "", calls=most)
        assert found.calls == len(world.visited) == most
        assert not found.found
        assert found.state == (None if most == 1 else "a1")  # where the agent gave up


async def test_at_the_depth_it_climbs_back_one_place() -> None:
    world = World({"": "a b", "a": "a1 a2", "b": "b1 b2!"})
    found = await dfsdt(world.expand, "", depth=2)
    assert world.visited == ["a", "a1", "a2", "b", "b1", "b2"]
    assert found.state == "b2"


async def test_a_tool_that_changes_the_world_needs_a_fork() -> None:
    with pytest.raises(UsageError, match=r"changed something outside its state \(did a\)"):
        await dfsdt(World(changes=True).expand, "")
    copied: list[str] = []

    async def fork(state: str) -> str:
        copied.append(state)
        return state

    found = await dfsdt(World(changes=True).expand, "", fork=fork)
    assert found.found
    assert len(copied) == found.calls
    chain = World({"": "a", "a": "a1!"}, changes=True)
    assert (await dfsdt(chain.expand, "", width=1)).found


async def test_with_a_ranking_the_most_promising_goes_on_first() -> None:
    visited: list[str] = []
    names = {"": iter("abc"), "b": iter(["b1-", "b2-", "b3-"]), "c": iter(["c1!", "c2!", "c3!"])}

    async def expand(state: str, tried: Sequence[AgentTurn[str]]) -> AgentTurn[str]:
        assert not tried
        name = next(names[state])
        ends = {"!": "answer", "-": "error"}
        visited.append(name)
        return AgentTurn(name.rstrip("!-"), name, ends.get(name[-1]))  # pyright: ignore

    async def better(first: AgentTurn[str], second: AgentTurn[str]) -> bool:
        return "bca".index(first.shown[0]) < "bca".index(second.shown[0])

    async with Pool(ScriptedEngine()):
        found = await dfsdt(expand, "", width=3, better=better)
    assert sorted(visited) == ["a", "b", "b1-", "b2-", "b3-", "c", "c1!", "c2!", "c3!"]
    assert found.found
    assert found.state in ("c1", "c2", "c3")


async def test_pairs_hold_what_led_to_an_answer_and_what_failed(tmp_path: Path) -> None:
    found = await dfsdt(World().expand, "")
    pairs = [(p.state, p.chosen.state, p.rejected.state) for p in preferences(found.root)]
    assert pairs == [("", "b", "a"), ("b", "b2", "b1"), ("b2", "b22", "b21")]
    file = tmp_path / "pairs.jsonl"
    assert write_preferences(file, found.root, "do it") == 3
    last = json.loads(file.read_text().splitlines()[-1])
    assert last == {
        "prompt": "do it\n\ndid b\n\ndid b2",
        "chosen": "did b22",
        "rejected": "did b21",
    }
    # What was not given up is not rejected.
    early = await dfsdt(World().expand, "", calls=5)
    assert list(preferences(early.root)) == []


async def test_a_budget_and_failures_leave_what_was_found() -> None:
    async def expand(state: str, tried: Sequence[AgentTurn[str]]) -> AgentTurn[str]:
        text = (await generate(Prompt.user(state + "?"), max_tokens=9)).text
        return AgentTurn(state + text, text, "give up" if len(state) else None)

    async with Pool(ScriptedEngine("x")):
        with budget(Limits(calls=2)):
            found = await dfsdt(expand, "")
        assert (found.state, found.found, found.budget) == ("xx", False, "calls")
        with budget(Limits(calls=2)):
            await generate(Prompt.user("1"))
            await generate(Prompt.user("2"))
            nothing = await dfsdt(expand, "")
        assert (nothing.state, nothing.budget) == (None, "calls")

    async def refused(state: str, tried: Sequence[AgentTurn[str]]) -> AgentTurn[str]:
        raise RequestRejected("not this one")

    with pytest.raises(RequestRejected, match="not this one"):
        await dfsdt(refused, "")
    with pytest.raises(UsageError, match="width=0 of dfsdt"):
        await dfsdt(refused, "", width=0)
