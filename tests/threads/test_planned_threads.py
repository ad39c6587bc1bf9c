"""Answers by a plan: what is thought about, what a plan may cost, and what is left on failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from weft import Pool, Prompt, ScriptedEngine, budget
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, RequestRejected, UsageError
from weft.threads import code_plan, gated
from weft.threads.gated import FINAL
from weft.types import Request

PARTS = ["one", "two", "three", "four"]
DIFFICULT = [0.1, 0.3, 0.5, 1.0]


def solver(parts: list[str] = PARTS, difficult: object = DIFFICULT) -> ScriptedEngine:
    def reply(request: Request) -> str:
        asked = request.messages[-1].content
        if "name the subproblems" in asked:
            return json.dumps({"subproblems": parts})
        if "How difficult is each" in asked:
            return json.dumps({"difficulties": difficult})
        if "Which is the best" in asked:
            return '{"choice": 2}'
        answer = "7" if asked == FINAL else f"<{asked.rpartition(': ')[2]}>"
        return f"<think>Long.</think>{answer}" if request.sampling.thinking else answer

    return ScriptedEngine(reply)


@pytest.mark.parametrize(("threshold", "slow"), [(0.0, 4), (0.2, 3), (0.4, 2), (0.7, 1), (1.0, 1)])
async def test_what_is_difficult_is_thought_about(threshold: float, slow: int) -> None:
    async with Pool(engine := solver()):
        done = await gated(Prompt.user("?"), threshold=threshold)
    assert (done.text, done.whole, done.threads) == ("7", True, 4)
    assert done.details["slow"] == [False] * (4 - slow) + [True] * slow
    assert done.details["difficulties"] == DIFFICULT
    solved = engine.requests[-5:]
    assert [one.sampling.thinking for one in solved] == [*done.details["slow"], False]
    # Each is solved with the results of those before it, and without their thinking.
    told = "".join(one.content for one in solved[-1].messages)
    assert "<one>" in told
    assert "<four>" in told
    assert "Long." not in told
    assert done.details["slow_tokens"] == slow * len("<think>Long.</think>") + sum(
        len(f"<{part}>") + 1 for part in PARTS[4 - slow :]
    )
    assert done.details["slow_tokens"] + done.details["quick_tokens"] == done.tokens


@pytest.mark.parametrize("parts", [[], ["all of it"]])
async def test_one_subproblem_is_plain_long_thinking(parts: list[str]) -> None:
    async with Pool(engine := solver(parts, [1.0])):
        done = await gated(Prompt.user("q: ?"), slow_tokens=99)
    last = engine.requests[-1]
    assert (done.text, done.whole, done.threads) == ("<?>", True, 0)
    assert last.messages == Prompt.user("q: ?").messages
    assert (last.sampling.thinking, last.sampling.max_tokens) == (True, 99)


async def test_ways_are_chosen_among_and_what_can_not_be_read_is_difficult() -> None:
    splits = iter([["a", "b"], ["c", "d"]])
    engine = solver(difficult=[0.1])

    def reply(request: Request) -> Any:
        if "name the subproblems" in request.messages[-1].content:
            return json.dumps({"subproblems": next(splits)})
        return usual(request)

    usual: Any = engine.script.replies
    engine.script.replies = reply
    async with Pool(engine):
        done = await gated(Prompt.user("?"), ways=2)
    asked = next(r for r in engine.requests if "Which is the best" in r.messages[-1].content)
    second = asked.messages[-1].content.partition("2.\n- ")[2][:1]
    assert done.details["subproblems"][0] == second
    assert done.details["difficulties"] == [1.0, 1.0]


async def test_what_there_is_when_a_budget_ends_is_given() -> None:
    async with Pool(solver()):
        with budget(calls=6):
            done = await gated(Prompt.user("?"))
        assert (done.text, done.whole) == ("<two>", False)
        with budget(calls=1), pytest.raises(BudgetExceeded):
            await gated(Prompt.user("?"))
    async with Pool(ScriptedEngine(lambda request: Scripted(refuses="no"))):
        for program in (gated, code_plan):
            with pytest.raises(RequestRejected):
                await program(Prompt.user("?"))


def planner() -> ScriptedEngine:
    def reply(request: Request) -> str:
        planning = "pseudo-Python" in request.messages[-1].content
        return "def solve(): return add(3, 4)" if planning else "7"

    return ScriptedEngine(reply)


async def test_a_plan_comes_before_the_answer_and_has_its_own_limit() -> None:
    async with Pool(engine := planner()):
        done = await code_plan(Prompt.user("3 + 4?"), plan_tokens=11, answer_tokens=20)
        assert (done.text, done.whole) == ("7", True)
        assert done.details["plan"] == "def solve()"  # as far as it goes
        assert "def solve()" in engine.requests[-1].messages[-2].content
        assert [one.sampling.max_tokens for one in engine.requests] == [11, 20]
        bare = await code_plan(Prompt.user("3 + 4?"), plan=False, plan_tokens=11, answer_tokens=20)
        assert (bare.text, bare.details["plan"]) == ("7", "")
        assert engine.requests[-1].messages == Prompt.user("3 + 4?").messages
        assert engine.requests[-1].sampling.max_tokens == 31


async def test_a_budget_within_the_answer_leaves_what_was_written() -> None:
    async with Pool(ScriptedEngine("a long answer")):
        with budget(tokens=60):
            done = await code_plan(Prompt.user("?"), plan=False)
        assert done.text == "a long answer"[: len(done.text)]
        with budget(tokens=8):
            done = await code_plan(Prompt.user("?"), plan=False)
    assert (done.text, done.whole) == ("a lon", False)


async def test_wrong_arguments_are_told() -> None:
    async with Pool(ScriptedEngine("x")):
        for wrong, words in (
            (gated(Prompt.user("?"), threshold=2), "threshold=2 must be from 0 to 1"),
            (gated(Prompt.user("?"), ways=0), "ways=0"),
            (gated(Prompt.user("?"), thinking=True), "leave out thinking"),
            (code_plan(Prompt.user("?"), plan_tokens=0), "plan_tokens=0"),
        ):
            with pytest.raises(UsageError, match=words):
                await wrong
