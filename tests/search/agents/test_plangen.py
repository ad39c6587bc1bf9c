from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Prompt
from weft.search import PlanGen, Question, parse_strategy
from weft.search.agents.bandit import ArmBounds
from weft.types import Request

CONSTRAINTS = ["has an a", "has a b", "has a c", "has a d"]
ASKED = Question(Prompt.user("plan"), answer=lambda t: t or None, complete=lambda t: False, seed=1)


def satisfied(text: str) -> int:
    return sum(letter in text for letter in "abcd")


class Agents:
    """The verifier's score is the share of satisfied constraints; answers come in turn."""

    def __init__(self, answers: Sequence[str], unreadable: Sequence[str] = ()) -> None:
        self.answers = iter(answers)
        self.unreadable = unreadable
        self.scores: list[int] = []
        self.feedback: list[str] = []

    def __call__(self, request: Request) -> str:
        asked = request.messages[-1].content
        if asked.startswith("List all constraints"):
            return json.dumps({"constraints": CONSTRAINTS})
        if "ways to look" in asked:
            return json.dumps({"suitability": [0.1, 0.9, 0.1]})
        if "Go through the" in asked:
            assert "- has a b" in asked
            text = asked.split("Answer:\n")[1]
            if text in self.unreadable:
                return "a fine plan"
            score = 50 * satisfied(text) - 100
            self.scores.append(score)
            return json.dumps({"feedback": f"{text} has {satisfied(text)}", "score": score})
        if len(request.messages) > 1:
            self.feedback.append(request.messages[1].content)
            assert f"{request.messages[1].content} has" in asked
        return next(self.answers)


SAMPLES = "plangen(rounds=4, one=greedy, two=greedy, three=greedy)"


async def test_the_best_score_never_falls_and_feedback_is_of_the_best() -> None:
    async with Pool(ScriptedEngine(agents := Agents(["ab", "a", "abc", "b", "abd"]))):
        answer = await parse_strategy(SAMPLES)(ASKED)
    assert agents.scores == [0, -50, 50, -50, 50]
    assert agents.feedback == ["ab", "ab", "abc", "abc"]
    assert (answer.value, answer.score) == ("abc", 0.75)
    assert answer.details["constraints"] == 4


async def test_it_ends_with_a_score_that_is_enough() -> None:
    async with Pool(engine := ScriptedEngine(Agents(["ab", "abcd"]))):
        answer = await parse_strategy(SAMPLES)(ASKED)
    assert (answer.value, answer.score) == ("abcd", 1.0)
    # Draft, constraints, verdict, selection, answer, verdict.
    assert len(engine.requests) == 6


def test_what_can_t_be_read_is_a_failure_and_no_zero() -> None:
    bandit = ArmBounds([0.5, 0.5], recovery=0.2)
    bandit.tried(0, None)
    bandit.tried(1, 0.0)
    assert bandit.bound(bandit.arms[0]) == pytest.approx(bandit.bound(bandit.arms[1]) + 0.2)
    bandit.tried(0, 0.8)
    bandit.tried(1, 0.8)
    # The mean is over what could be scored: 0.8 beside 0.4; one of two tries failed.
    ahead = bandit.bound(bandit.arms[0]) - bandit.bound(bandit.arms[1])
    assert ahead == pytest.approx(0.8 - 0.4 + 0.2 / 2)


async def test_an_answer_that_could_not_be_scored_is_not_the_best() -> None:
    agents = Agents(["a", "bbb", "ab", "a", "a"], unreadable=["bbb"])
    async with Pool(ScriptedEngine(agents)):
        answer = await parse_strategy(SAMPLES)(ASKED)
    assert (answer.value, answer.score) == ("ab", 0.5)
    assert answer.details["unread"] == 1


def test_the_bound_by_hand() -> None:
    bandit = ArmBounds([0.2, 1.0], prior=0.5, diversity=0.5, recovery=0.1)
    assert [bandit.bound(arm) for arm in bandit.arms] == pytest.approx([0.6, 1.0])
    assert bandit.choose() == 1
    bandit.tried(1, 0.3)
    explored = math.sqrt(2 * math.log(2))
    assert bandit.bound(bandit.arms[1]) == pytest.approx(0.3 + explored + 0.5 + 0.25)


def test_the_bandit_finds_the_best_way() -> None:
    chance, bandit = random.Random(2), ArmBounds([0.9, 0.5, 0.1])
    good = [0.2, 0.4, 0.8]
    for _ in range(400):
        way = bandit.choose()
        bandit.tried(way, None if chance.random() < 0.1 else float(chance.random() < good[way]))
    tries = [arm.tries for arm in bandit.arms]
    assert tries[2] > 0.6 * sum(tries)


async def test_a_default_arm_is_judged_by_the_constraints() -> None:
    engine = ScriptedEngine(Agents(["ab", *["abc"] * 4]), {"yes": 0.5, "no": 0.5})
    async with Pool(engine):
        answer = await PlanGen(rounds=1, two=parse_strategy("best_of_n(n=4)"))(ASKED)
    assert answer.details["ways"] == ["best_of_n(n=4, verifier=model)"]
    asked = [r for r in engine.requests if r.ask]
    assert len(asked) > 0
    assert all("- has a c" in r.messages[-1].content for r in asked)
