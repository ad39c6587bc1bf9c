from __future__ import annotations

from dataclasses import replace

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import RequestRejected
from weft.orchestrator.pool import Pool
from weft.programs import Limits, Prompt, run
from weft.search import BestOfN, Question, SampleUntil, SegmentRejection, parse_strategy
from weft.types import Request


def asked(**more) -> Question:
    return Question(Prompt.user("q"), answer=lambda t: t or None, complete=lambda t: False, **more)


def harmless(text: str) -> float:
    return 0.1 if "x" in text else 0.9


def letters(*tries: str):
    """Writes the letters in turn, two at a call; an answer is over after six."""
    given = iter(tries)

    def reply(request: Request) -> str:
        written = request.messages[-1].content if request.open else ""
        return next(given) + ("" if len(written) == 4 else "...")

    return reply


async def test_a_rejected_segment_is_drawn_again_and_the_rest_is_kept() -> None:
    engine = ScriptedEngine(letters("ab", "cx", "cd", "xf", "ef"))
    strategy = SegmentRejection(every=2, verifier="function", tries=3, abstain=True)
    async with Pool(engine):
        answer = await strategy(asked(check=harmless, max_tokens=6))
    assert (answer.value, answer.score) == ("abcdef", 0.9)
    assert answer.details == {"segments": 5, "rejected": 2, "passed": True}
    written = [r.messages[-1].content if r.open else "" for r in engine.requests]
    assert written == ["", "ab", "ab", "abcd", "abcd"]


@pytest.mark.parametrize("abstain", [False, True])
async def test_when_no_try_is_passed(abstain: bool) -> None:
    engine = ScriptedEngine(letters("ab", "cx", "xx", "ef", "gh"))
    strategy = SegmentRejection(every=2, verifier="function", tries=2, abstain=abstain)
    async with Pool(engine):
        answer = await strategy(asked(check=harmless, max_tokens=6))
    assert answer.abstained == abstain
    assert answer.details["passed"] is False
    assert len(engine.requests) == (3 if abstain else 5)
    assert answer.value == (None if abstain else "abcxef")


@pytest.mark.parametrize(
    "spec",
    [
        "segment_rejection(verifier=guard, abstain=true)",
        "best_of_n(n=3, verifier=guard, least=0.5)",
        "sample_until(n=3, verifier=guard, abstain=true)",
    ],
)
@pytest.mark.parametrize("limit", [0, 2, 30])
async def test_nothing_is_given_that_the_guard_has_not_passed(spec: str, limit: int) -> None:
    """Nor by the end of a budget, by a guard that fails, or by a verdict that says no."""
    for said in ({"yes": 0.1, "no": 0.9}, None):

        def guard(request: Request, said=said):
            if said is None:
                raise RequestRejected("no verdicts")
            return said

        async with Pool(ScriptedEngine("some answer", guard)) as pool:
            budget = Limits(calls=limit) if limit else Limits(tokens=14)
            answer = (await run(parse_strategy(spec), asked(), pool=pool, budget=budget)).value
        assert answer.abstained
        assert (answer.text, answer.value) == (None, None)


async def test_best_of_n_with_a_guard_gives_what_is_passed(question, player) -> None:
    async with Pool(player()):
        strategy = BestOfN(n=12, verifier="function", least=1.0)
        good = await strategy(replace(question, check=lambda text: float(text.endswith("2"))))
        none = await strategy(replace(question, check=lambda text: 0.5))
    assert (good.score, good.abstained) == (1.0, False)
    assert none.abstained
    assert none.details["scored"] == 12


async def test_the_guard_is_asked_by_its_rule(question) -> None:
    engine = ScriptedEngine("answer 1", {"yes": 0.3, "no": 0.1})
    async with Pool(engine):
        answer = await SampleUntil(verifier="guard(rule='free of numbers')", threshold=0.7)(
            question
        )
    assert answer.score == pytest.approx(0.75)
    asks = [r for r in engine.requests if r.ask or r.ask_texts]
    assert "Is it free of numbers?" in asks[-1].messages[-1].content
    assert asks[-1].messages[1].content == "answer 1"
