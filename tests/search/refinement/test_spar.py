from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Prompt
from weft.search import Question, Spar
from weft.search.refinement.judge import judgement, passes
from weft.types import Request

ASKED = Question(
    Prompt.user("q"), answer=lambda t: t or None, complete=lambda t: False, max_tokens=9
)


def test_a_majority_of_m_lowers_false_passes_as_the_binomial_tail_says() -> None:
    wrong = Fraction(1, 5)  # how often one verdict lets a bad answer pass
    for m in (1, 2, 3, 4, 5):
        found = sum(
            math.prod(wrong if passed else 1 - wrong for passed in said)
            for said in itertools.product((True, False), repeat=m)
            if judgement([f"[[{'pass' if p else 'fail'}]]" for p in said], m).passed
        )
        tail = sum(
            math.comb(m, k) * wrong**k * (1 - wrong) ** (m - k) for k in range(m // 2 + 1, m + 1)
        )
        assert found == tail


def test_verdicts_are_read() -> None:
    assert passes("Would be [[fail]], but no: [[ PASS ]]") is True
    assert passes("[[fail]]") is False
    assert passes("looks fine") is None
    said = judgement(["looks fine", "Too long. [[fail]]", "[[pass]]"], 3)
    assert (said.passes, said.verdicts, said.passed, said.critique) == (1, 2, False, "Too long.")
    assert judgement([], 3).share == 0


class Game:
    """The answers get a letter with each refinement; the judge likes some answers."""

    def __init__(self, good: str) -> None:
        self.good = good
        self.letters = itertools.count()
        self.written: list[str] = []

    def __call__(self, request: Request) -> Scripted | str:
        asked = request.messages[-1].content
        if "[[pass]]" in asked:
            text = asked.split("Answer:\n")[1]
            return "[[pass]]" if text == self.good else f"{text} is wrong. [[fail]]"
        if len(request.messages) == 1:
            return "r"
        before = request.messages[1].content
        assert f"{before} is wrong." in asked
        text = before + "ab"[self.written.count(before)]
        self.written.append(before)
        return text


@pytest.mark.parametrize(
    ("order", "refined"),
    [
        ("breadth", ["r", "r", "ra", "ra", "rb", "rb"]),
        ("depth", ["r", "r", "ra", "ra", "raa", "raa"]),
    ],
)
async def test_the_order_of_refinements(order: str, refined: list[str]) -> None:
    async with Pool(ScriptedEngine(game := Game("none"))):
        answer = await Spar(n=7, order=order, verdicts=1)(ASKED)
    assert sorted(game.written) == sorted(refined)
    assert (answer.value, answer.details["passed"]) == ("r", False)  # of equals the earliest
    assert answer.details["samples"] == 7


async def test_it_ends_with_the_first_answer_that_passes() -> None:
    async with Pool(engine := ScriptedEngine(game := Game("rab"))):
        answer = await Spar(n=9, order="depth", verdicts=3)(ASKED)
    assert (answer.value, answer.score) == ("rab", 1.0)
    assert (answer.details["passed"], answer.details["depth"]) == (True, 2)
    assert game.written.count("ra") == 2
    assert "raa" not in game.written
    assert engine.running == engine.waiting == 0


async def test_verdicts_that_say_nothing_let_nothing_pass() -> None:
    async with Pool(ScriptedEngine(lambda r: "r" if len(r.messages[-1].content) == 1 else "?")):
        answer = await Spar(n=2)(ASKED)
    assert answer.value is not None
    assert answer.details["passed"] is False
