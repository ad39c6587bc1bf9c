"""Choosing a model, an effort or a prompt for each question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import RequestRejected, UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Limits, generate, run
from weft.search import Question, parse_strategy
from weft.search.collaboration.routing.effort import choose_effort
from weft.search.collaboration.routing.effort_labels import lowest_efforts
from weft.search.collaboration.routing.ways import read_ways
from weft.types import Delta, Request

pytestmark = pytest.mark.loops("virtual")

ROLES = {"draft": "small", "verifier": "judge"}


def reads(request: Request) -> dict[str, float]:
    """A judge of the answer that it reads: the probability of yes is its digit in tenths."""
    good = int(request.messages[-1].content[-1]) / 10
    return {"yes": good, "no": 1 - good}


def trio_of(small: Any, large: Any, judge: Any = reads) -> tuple[ScriptedEngine, ...]:
    return (
        ScriptedEngine(large, model="large"),
        ScriptedEngine(small, model="small"),
        ScriptedEngine("", judge, model="judge"),
    )


async def solved(spec: str, question: Question, engines: Any, **more: Any) -> Any:
    async with Pool(*engines, roles=ROLES) as pool:
        return (await run(parse_strategy(spec), question, pool=pool, **more)).value


def test_ways() -> None:
    assert [(w.role, w.effort, w.cost) for w in read_ways("draft solver/none solver/high:4")] == [
        ("draft", "", 1),
        ("solver", "none", 1),
        ("solver", "high", 4),
    ]
    for wrong in ("", "draft draft", "solver/", "/low", "draft:x", "draft:0", "draft:inf"):
        with pytest.raises(UsageError, match="ways"):
            read_ways(wrong)


# Cascades


@pytest.mark.parametrize(
    ("threshold", "value", "asked"),
    [(0, "3", ["draft"]), (0.3, "3", ["draft"]), (0.31, "1", ["draft", "solver"])],
)
async def test_a_cascade_ends_with_the_first_score_that_is_enough(
    threshold: float, value: str, asked: list[str], question
) -> None:
    engines = trio_of("answer 3", "answer 1")
    answer = await solved(f"cascade(threshold={threshold})", question, engines)
    assert (answer.value, answer.details["asked"]) == (value, asked)
    large, small, judge = engines
    # The last model's answer is taken as it is: one verdict, of the draft's answer.
    assert [len(e.requests) for e in (large, small)] == [len(asked) - 1, 1]
    assert {r.messages[-1].content for r in judge.requests} == {"verify\nanswer 3"}


async def test_a_cascade_by_confidence(question) -> None:
    """Scripted tokens have the probability 1: the draft is as confident as can be."""
    engines = trio_of("answer 3", "answer 1")
    answer = await solved("cascade(verifier=logprob, threshold=1)", question, engines)
    assert (answer.value, answer.score) == ("3", 1)


@pytest.mark.parametrize(
    ("small", "large", "value"),
    [
        ("no idea", "answer 1", "1"),
        ("answer 3", "no idea", "3"),
        (Scripted(refuses="gone"), "answer 1", "1"),
        ("answer 3", Scripted(refuses="gone"), "3"),
    ],
)
async def test_a_cascade_gives_the_best_there_is(small, large, value: str, question) -> None:
    answer = await solved("cascade", question, trio_of(small, large))
    assert answer.value == value
    assert answer.details.get("failed", 0) == sum(
        isinstance(one, Scripted) for one in (small, large)
    )


async def test_a_strategy_within_is_each_models(question) -> None:
    engines = trio_of(["answer 3", "answer 2", "answer 3"], "answer 1")
    answer = await solved("cascade(threshold=0.3, of=majority(n=3))", question, engines)
    assert (answer.value, len(engines[0].requests), len(engines[1].requests)) == ("3", 0, 3)


# Thinking only where quick answers do not agree


def thinks_or_not(quick: list[str], thought: str) -> Callable[[Request], str]:
    """Thinks unless thinking is switched off."""
    left = iter(quick)
    return lambda r: next(left) if r.sampling.thinking is False else f"<think>7</think>{thought}"


@pytest.mark.parametrize(
    ("quick", "agree", "value", "thinks"),
    [
        ("111", 1, "1", False),
        ("112", 1, "9", True),
        ("112", 0.6, "1", False),
        ("123", 0.6, "9", True),
        ("1?1", 1, "9", True),
        ("1?1", 0.6, "1", False),
    ],
)
async def test_thinking_begins_where_quick_answers_do_not_agree(
    quick: str, agree: float, value: str, thinks: bool, question
) -> None:
    texts = ["no idea" if c == "?" else f"answer {c}" for c in quick]
    engine = ScriptedEngine(thinks_or_not(texts, "answer 9"))
    async with Pool(engine) as pool:
        spec = f"think_if_needed(agree={agree}, temperature=1)"
        answer = (await run(parse_strategy(spec), question, pool=pool)).value
    assert (answer.value, answer.details["thought"]) == (value, thinks)
    fast = [r for r in engine.requests if r.sampling.thinking is False]
    assert len(fast) <= 3
    assert {r.messages[0].content for r in fast} == {"solve"}  # which asks for no thinking
    slow = [r for r in engine.requests if r not in fast]
    assert [r.messages[0].content for r in slow] == ["think"] * thinks


async def test_quick_answers_may_be_the_drafts_and_are_kept_if_thinking_fails(question) -> None:
    small = iter(["answer 1", "answer 2", "answer 2"])
    engines = trio_of(lambda r: next(small), Scripted(refuses="gone"))
    answer = await solved("think_if_needed(role=draft)", question, engines)
    assert answer.value in ("1", "2")
    assert (answer.details["failed"], answer.details["thought"]) == (1, True)


# Effort


def judge_of(**chances: float) -> Callable[[Request], dict[str, float]]:
    return lambda request: {level: chances.get(level, 0.0) for level in ("low", "medium", "high")}


@pytest.mark.parametrize(
    ("chances", "sure", "level"),
    [
        ({"low": 0.3, "medium": 0.1, "high": 0.1}, 0.5, "low"),
        ({"low": 0.2, "medium": 0.1, "high": 0.1}, 0.6, "medium"),
        ({"low": 0.3, "medium": 0.1, "high": 0.1}, 0.9, "high"),
        ({}, 0.5, "high"),
    ],
)
async def test_the_least_effort_that_is_enough(chances, sure: float, level: str, question) -> None:
    engines = trio_of("", "answer 1")
    engines[1].scores = judge_of(**chances)
    answer = await solved(f"effort(sure={sure})", question, engines)
    assert answer.details["effort"] == level
    assert [r.sampling.reasoning_effort for r in engines[0].requests] == [level]
    assert "low, medium or high" in engines[1].requests[0].messages[-1].content


@pytest.mark.parametrize("level", ["low", "medium", "high", "none"])
async def test_static_efforts_ask_nobody(level: str, question) -> None:
    engines = trio_of("", "answer 1")
    await solved(f"effort(levels={level})", question, engines)
    (request,) = engines[0].requests
    assert request.sampling.reasoning_effort == (None if level == "none" else level)
    assert request.sampling.thinking is (False if level == "none" else None)
    assert not engines[1].requests


async def test_a_judge_that_fails_leaves_the_highest_effort(question) -> None:
    def broken(request: Request) -> dict[str, float]:
        raise RequestRejected("no verdicts")

    engines = trio_of("", "answer 1")
    engines[1].scores = broken
    answer = await solved("effort", question, engines)
    assert (answer.value, answer.details["effort"], answer.details["failed"]) == ("1", "high", 1)


async def test_only_the_answer_is_streamed(question) -> None:
    class Telling(ScriptedEngine):
        """Says the token that it generates for a verdict, as vLLM does."""

        async def complete(self, request: Request, on_delta: Any) -> None:
            def heard(delta: Delta) -> None:
                on_delta(replace(delta, text="low") if request.ask else delta)

            await super().complete(request, heard)

    live: list[str | None] = []
    async with Pool(Telling("answer 1", judge_of(low=0.9))) as pool:
        strategy = parse_strategy("effort")
        await run(strategy, question, pool=pool, live=lambda id, text: live.append(text))
    assert strategy.texts == 1
    assert "".join(text or "?" for text in live) == "answer 1"


async def test_an_agent_may_choose_an_effort_for_each_step() -> None:
    async with Pool(ScriptedEngine("", judge_of(low=0.9))):
        assert (await choose_effort("open the door", ["low", "high"])).level == "low"


async def test_labels_are_the_planted_efforts() -> None:
    """A scripted environment in which each step needs an effort, and two of three tries show it."""
    needs = {"a": "low", "b": "high", "c": "medium", "d": "low", "e": "never"}
    order = ["low", "medium", "high"]
    tried: dict[tuple[str, str], int] = {}

    async def act(state: str, level: str) -> str:
        n = tried[state, level] = tried.get((state, level), 0) + 1
        if state == "f":
            raise RequestRejected("not this one")
        enough = needs[state] in order[: order.index(level) + 1]
        # Once in three tries it goes otherwise, both ways.
        return state.upper() if enough != (n == 2) else "?"

    async def labels() -> list[str]:
        return await lowest_efforts([(s, s.upper()) for s in "abcdef"], act)

    async with Pool(ScriptedEngine("")) as pool:
        assert (await run(labels, pool=pool)).value == [
            "low", "high", "medium", "low", "high", "high",
        ]  # fmt: skip
    assert tried["a", "low"] == 3
    assert ("a", "medium") not in tried


# Every budget


@pytest.mark.parametrize("spec", ["cascade", "think_if_needed(role=draft)", "effort", "bandit"])
async def test_a_budget_loses_no_readable_answer(spec: str, question) -> None:
    for limit in range(1, 6):
        engines = trio_of("answer 3", "answer 1", {"yes": 0.1, "no": 0.9})
        engines[1].scores = judge_of(low=0.9)
        answer = await solved(spec, question, engines, budget=Limits(calls=limit))
        written = [r for e in engines for r in e.requests if not r.ask]
        assert (answer.value is not None) == bool(written)


async def test_the_draft_plays_the_solver_in_the_block_alone(question) -> None:
    engines = trio_of("answer 3", "answer 1")

    async def program() -> str:
        await parse_strategy("cascade(threshold=0)")(question)
        return (await generate(replace(question).prompt)).text

    async with Pool(*engines, roles=ROLES) as pool:
        assert (await run(program, pool=pool)).value == "answer 1"
