"""SpecReason: which steps of the small model stand, and what is paid for the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import anyio
import pytest

from waiting import until
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import RequestRejected
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import SpecReason, parse_strategy
from weft.search.verifiers.grade import ASKED
from weft.types import Request

GRADES = {"s0": 9, "s1": 6, "s2": 7, "answer s": 8}


def grader(grades: Mapping[str, int] = GRADES) -> Callable[[Request], dict[str, float]]:
    """Gives each step its grade, by its last line."""

    def grade(request: Request) -> dict[str, float]:
        _, answer, asked, begun = request.messages
        assert (asked.content, begun.content, request.open) == (ASKED, "Grade:", True)
        given = grades[answer.content.rstrip("\n").rpartition("\n")[2]]
        return {str(given): 0.6, "0": 0.4} if given else {"0": 1.0}

    return grade


def refuses(request: Request) -> str:
    raise RequestRejected("not today")


@pytest.mark.parametrize(
    ("accept", "text", "wrote"),
    [
        (0, "s0\ns1\ns2\nanswer s", []),
        (7, "s0\nL1\ns2\nanswer s", ["L1\n"]),
        (8, "s0\nL1\nL2\nanswer s", ["L1\n", "L2\n"]),
        (10, "L0\nL1\nL2\nanswer L", ["L0\n", "L1\n", "L2\n", "answer L"]),
    ],
)
async def test_the_threshold_says_which_steps_stand(
    accept: float, text: str, wrote: list[str], pair, stepping, question
) -> None:
    both = pair(stepping("s"), stepping("L"), grader())
    done = await both.answer(SpecReason(accept=accept), question)
    answer = done.value
    assert (answer.text, answer.value) == (text, text[-1])
    assert both.large.wrote == wrote  # and nothing that stands was written again
    assert both.small.wrote == ["s0\n", "s1\n", "s2\n", "answer s"]
    assert answer.details["accepted"] == 4 - len(wrote)
    assert answer.details["refused"] == len(wrote)


async def test_the_bill_is_split_by_model(pair, stepping, question) -> None:
    both = pair(stepping("s"), stepping("L"), grader())
    done = await both.answer(SpecReason(), question)
    details = done.value.details
    # "L1\n" is one token of the large model's; the end of an answer is one, too.
    assert (details["draft_tokens"], details["solver_tokens"]) == (3 + 3 + 3 + 9, 1)
    assert {model: usage.generated for model, usage in done.usage_by_model.items()} == {
        "small": 18,
        "large": 1 + 4,  # a token for each grade
    }
    first = question.think.messages
    graded = [r for r in both.large.requests if r.ask]
    assert len(graded) == 4
    assert all(r.messages[: len(first)] == first for r in graded)


async def test_the_mean_grade(question, stepping) -> None:
    """0.6 of 9 and 0.4 of 0: 5.4; the likeliest is 9."""
    for spec, accepted in (("grade(by=mean)", 0), ("grade", 4)):
        engine = ScriptedEngine(stepping("s"), {"9": 0.3, "0": 0.2})
        async with Pool(engine) as pool:
            answer = (await run(SpecReason(accept=5.5, verifier=spec), question, pool=pool)).value
        assert answer.details["accepted"] == accepted
        assert answer.details["verdict_mass"] == 0.5
    assert SpecReason(accept=5.4, verifier="grade(by=mean)").accept == 5.4


async def test_any_verifier_may_grade(question, playing, player, pair) -> None:
    both = pair(playing, playing)
    done = await both.answer(parse_strategy("specreason(verifier=function)"), question)
    right = done.value
    assert right.details["accepted"] + right.details["refused"] == right.details["steps"]
    assert not [r for r in both.large.requests if r.ask]


async def test_the_first_steps_may_be_the_large_models(pair, stepping, question) -> None:
    both = pair(stepping("s"), stepping("L"), grader({"s2": 9, "answer s": 9}))
    done = await both.answer(SpecReason(first=2), question)
    assert done.value.text == "L0\nL1\ns2\nanswer s"
    assert len(both.small.wrote) == 2


async def test_where_one_model_fails_the_other_answers(pair, stepping, question) -> None:
    for small, large, text in (
        (refuses, stepping("L"), "L0\nL1\nL2\nanswer L"),
        (stepping("s"), refuses, "s0\ns1\ns2\nanswer s"),
    ):
        both = pair(small, large, grader())
        answer = (await both.answer(SpecReason(), question)).value
        assert answer.text == text
        assert answer.details["failed"] > 0
    with pytest.raises(RequestRejected, match="not today"):
        await pair(refuses, refuses).answer(SpecReason(), question)


async def test_a_step_without_a_grade_is_written_anew(pair, stepping, question) -> None:
    def broken(request: Request) -> dict[str, float]:
        raise RequestRejected("no grades")

    both = pair(stepping("s"), stepping("L"), broken)
    answer = (await both.answer(SpecReason(), question)).value
    assert answer.text == "L0\nL1\nL2\nanswer L"
    assert answer.details["failed"] == 4
    # One that gives no digit any probability thinks nothing of a step.
    both = pair(stepping("s"), stepping("L"), {"yes": 1.0})
    assert (await both.answer(SpecReason(), question)).value.details["refused"] == 4


@pytest.mark.loops("asyncio")
async def test_no_budget_loses_a_readable_answer(pair, stepping, question) -> None:
    for most in range(1, 40):
        for limits in (Limits(calls=most), Limits(tokens=9 * most)):
            both = pair(stepping("s", 1), stepping("L", 1), grader({"s0": 3, "answer s": 8}))
            done = await both.answer(SpecReason(), question, limits)
            assert done.usage.calls <= (limits.calls or most)
            wrote = both.small.wrote + both.large.wrote
            readable = [question.answer(text) for text in wrote if question.answer(text)]
            assert (done.value.value is not None) == bool(readable), (limits, wrote)
            if "budget" not in done.value.details:
                assert done.value.text == "L0\nanswer s"


def thinker(sign: str) -> Callable[[Request], str]:
    """Thinks in three lines, and answers by its sign."""

    def reply(request: Request) -> str:
        written = request.messages[-1].content if request.open else ""
        whole = [f"<think>{sign}\n", f"{sign}{sign}\n", "</think>\n", f"answer {sign}"]
        begun = 3 if "</think>" in written else written.count("\n")
        return "".join(whole[begun:])

    return reply


async def test_what_follows_the_thinking_is_the_large_models(pair, question) -> None:
    both = pair(thinker("s"), thinker("L"), {"9": 1.0})
    answer = (await both.answer(SpecReason(), question)).value
    assert both.small.wrote == ["<think>s\n", "ss\n", "</think>\n"]
    assert both.large.wrote == ["answer L"]
    assert (answer.text, answer.value) == ("answer L", "L")


async def test_thinking_that_has_its_tokens_is_ended(pair, question) -> None:
    both = pair(thinker("s"), thinker("L"), {"9": 1.0})
    asked = replace(question, max_think_tokens=10)
    answer = (await both.answer(SpecReason(), asked)).value
    assert both.small.wrote == ["<think>s\n", "s"]
    assert answer.value == "L"
    assert both.large.requests[-1].messages[-1].content == "<think>s\ns\n</think>\n"


async def test_a_step_that_comes_three_times_ends_the_answer(pair, question) -> None:
    both = pair("again\nand again", "again\nand again", {"9": 1.0})
    answer = (await both.answer(SpecReason(), replace(question, max_steps=20))).value
    assert answer.text == "again\n" * 3


async def test_a_template_that_opens_thinking_is_told_to_both(pair, question) -> None:
    both = pair(lambda r: thinker("s")(r).removeprefix("<think>"), thinker("L"), {"9": 1.0})
    both.small.opens_thinking = True
    answer = (await both.answer(SpecReason(), question)).value
    assert answer.value == "L"
    for request in (both.small.requests[0], both.large.requests[-1]):
        assert request.messages[-1].content.startswith("<think>\n")


async def test_without_a_second_model_this_is_said_once(caplog, stepping, question) -> None:
    async with Pool(ScriptedEngine(stepping("s"), {"9": 1.0}, model="one")) as pool:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                assert (await run(SpecReason(), question, pool=pool)).value.value == "s"
    assert [record.getMessage() for record in caplog.records] == [
        "specreason needs a second model, in the role draft, but one plays it too, so nothing is "
        "saved; have roles name another model for draft"
    ]


@pytest.mark.parametrize("spec", ["specreason", "glimprouter", "nudging", "atts(n=3, refuse=1)"])
async def test_what_is_cancelled_ends_in_both_engines(spec: str, pair, question) -> None:
    both = pair("x\n", Scripted("y\n", hangs=True), {"0": 1.0}, small_ways=lambda r, t: 20)
    async with Pool(*both.engines, roles={"solver": "large", "draft": "small"}) as pool:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(run, parse_strategy(spec), question, pool=pool))
            await until(lambda: both.large.running)
            tasks.cancel_scope.cancel()
        await until(lambda: not pool.scheduler.in_flight)
        assert both.large.cancelled
        assert not both.small.running + both.small.waiting + both.large.running
