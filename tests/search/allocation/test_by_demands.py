"""by_demands: the cheapest strategy that is predicted to be right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.search import Answer, ByDemands, Question
from weft.search.allocation.demands import RUBRIC, read_levels, read_rubric
from weft.search.calibration.kept import Calibration, Example, keep_calibrations
from weft.store.store import Store
from weft.types import Request

VOTE = "majority(n=5, stop_early=false)"


def known(spec: str = ByDemands().method) -> Store:
    """One answer is right where little logic is demanded, a vote always is."""
    examples = tuple(
        Example(
            f"{i}",
            float(i % 6),
            i % 6 < 3,
            {
                "": (i % 6 < 3, 30.0),
                "greedy": (i % 6 < 3, 10.0),
                VOTE: (True, 50.0),
                "by_demands": (True, 1.0),
                "gone.py:Gone": (True, 1.0),
            },
            {"logic": float(i % 6)},
        )
        for i in range(60)
    )
    store = Store()
    keep_calibrations(store, [Calibration("scripted", "digits", spec, examples)])
    return store


def judging(level: int | str | Scripted):
    """Says of each request how much logic it demands."""

    def reply(request: Request) -> str | Scripted:
        asked = request.messages[-1].content
        if "Do not answer it" not in asked:
            return "answer 7"
        assert "- logic: " in asked
        return f"knowledge: 1\nLogic = **{level}**" if isinstance(level, int) else level

    return reply


async def solved(level: int | str | Scripted, question: Question, **more) -> tuple[Answer, int]:
    engine = ScriptedEngine(judging(level))
    store = known() if not more.get("learn") else Store()
    async with Pool(engine, store=store):
        answer = await ByDemands(**more)(replace(question, task="digits"))
        assert engine.running == engine.waiting == 0
    return answer, len(engine.requests)


async def test_what_demands_little_is_answered_cheaply(question) -> None:
    answer, calls = await solved(0, question)
    assert (answer.value, answer.details["pick"], calls) == ("7", "greedy", 1 + 1)
    assert answer.details["expected"] > 0.8
    assert answer.details["demands"] == {"knowledge": 1.0, "logic": 0.0}
    answer, calls = await solved(5, question)
    assert (answer.details["pick"], calls) == (VOTE, 1 + 5)
    answer, calls = await solved(5, question, sure=0.0)
    assert answer.details["pick"] == "greedy"


async def test_a_task_that_knows_its_demands_is_believed(question) -> None:
    answer, calls = await solved(0, replace(question, demands={"logic": 5.0}))
    assert (answer.details["pick"], calls) == (VOTE, 5)


@pytest.mark.parametrize("said", ["no idea", Scripted(refuses="busy")])
async def test_without_levels_one_answers(said, question) -> None:
    answer, calls = await solved(said, question)
    assert (answer.value, answer.details["pick"], calls) == ("7", "of", 2)
    assert answer.details.get("failed") == (1 if isinstance(said, Scripted) else None)


async def test_learning_keeps_levels_for_a_calibration(question) -> None:
    answer, calls = await solved(3, question, learn=True)
    assert calls == 2
    assert answer.details["calibrates"] == ByDemands().method
    levels = {"knowledge": 1.0, "logic": 3.0}
    assert answer.details["examples"] == [[2.0, "7", "answer 7", levels]]
    assert answer.details["beside"]


def test_rubrics_and_what_judges_say() -> None:
    assert len(read_rubric(RUBRIC)) == 6
    assert read_levels("logic: 3, logic: 4\nlength - 9\nillogic: 1", read_rubric(RUBRIC)) == {
        "logic": 4.0
    }
    for text in ("", "a: x; a: y", ": x"):
        with pytest.raises(UsageError, match="must name dimensions"):
            ByDemands(rubric=text)
