"""Conformal exit: thinking ends where scores of other problems tell a right trial from wrong."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import ConformalExit, Question
from weft.search.calibration.kept import Calibration, Example, keep_calibrations
from weft.search.early_exit.conformal_exit import exit_of
from weft.store.store import Store
from weft.types import Request

LINE = "line {:03}.......\n"
"""Of 16 tokens."""


def thinker(answers: str, final: str) -> Callable[[Request], str]:
    """Thinks in lines; asked behind so many of them, gives the answer of that number."""
    lines = "".join(map(LINE.format, range(1, len(answers) + 1)))
    whole = f"<think>........\n{lines}so: </think>\nanswer {final}"

    def reply(request: Request) -> str:
        written = request.messages[-1].content if request.open else ""
        if whole.startswith(written):
            return whole[len(written) :]
        count = written.count("line")
        return f"answer {answers[count - 1]}" if count else "no idea"

    return reply


def by_agreement(wrong: float, right: float, problems: int = 9) -> Store:
    """A store that knows trials of so many problems, by how many in a row agreed."""
    store = Store()
    method = ConformalExit(every=16, by="agreement").method
    examples = [
        Example(f"{i}", row / (row + 1), is_right)
        for i in range(problems)
        for row, is_right in ((wrong, False), (right, True))
    ]
    keep_calibrations(store, [Calibration("scripted", "digits", method, tuple(examples))])
    return store


@pytest.mark.parametrize(
    ("answers", "wrong", "right", "exit"),
    [
        ("xyyyyyyy", 2, 2, 4),  # wrong answers came twice in a row, so three times is right
        ("xyyyyyyy", 3, 2, 5),
        ("xyyyyyyy", 1, 1, 3),
        ("xyxyxyxy", 2, 2, None),
        ("xyyyyyyy", 2, 4, 5),  # right ones never came less than four times
        ("xyyyyyyy", 9, 2, None),
    ],
)
async def test_where_thinking_ends(answers: str, wrong, right, exit, question: Question) -> None:
    engine = ScriptedEngine(thinker(answers, "f"))
    asked = replace(question, task="digits")
    async with Pool(engine, store=by_agreement(wrong, right)):
        answer = await ConformalExit(every=16, by="agreement")(asked)
    assert answer.value == ("f" if exit is None else answers[exit - 1])
    assert answer.details["trials"] == (len(answers) if exit is None else exit)
    assert answer.details["exited"] == (exit is not None)


async def test_without_enough_examples_thinking_comes_to_its_end(
    question: Question, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine(thinker("yyyyyyyy", "f"))
    asked = replace(question, task="digits")
    with caplog.at_level(logging.WARNING):
        async with Pool(engine, store=by_agreement(1, 1, problems=8)):
            for _ in range(2):
                answer = await ConformalExit(every=16, by="agreement")(asked)
    assert (answer.value, answer.details["trials"]) == ("f", 0)
    assert [r.open for r in engine.requests] == [False] * len(engine.requests)  # in one piece
    (said,) = [record.getMessage() for record in caplog.records]
    assert "wrong answers to 8 problems, and needs 9" in said
    # Fewer do where more may be missed.
    async with Pool(engine, store=by_agreement(1, 1, problems=8)):
        answer = await ConformalExit(every=16, by="agreement", miss=0.2)(asked)
    assert answer.value == "y"


async def test_learning_makes_all_trials_and_keeps_them(question: Question) -> None:
    engine = ScriptedEngine(thinker("xxyyy", "f"))
    learn = ConformalExit(every=16, learn=True, miss=0.3, task="mine")
    async with Pool(engine, store=Store()):
        answer = await learn(question)
    assert answer.value == "f"
    assert answer.details["calibrates"] == ConformalExit(every=16).method
    found = answer.details["examples"]
    assert [value for _, value, _ in found] == list("xxyyy")
    # What an engine of certain tokens has: (1 + row / (row + 1) + 1) / 3.
    rows = (1, 2, 1, 2, 3)
    sure = [score for score, _, _ in found]
    assert [s - r / (r + 1) / 3 for s, r in zip(sure, rows, strict=True)] == pytest.approx(
        [sure[0] - 1 / 6] * 5
    )


async def test_at_the_end_of_any_budget_the_last_trial_is_kept(question: Question) -> None:
    asked = replace(question, task="digits")
    for calls in range(4, 9):
        async with Pool(ScriptedEngine(thinker("abcdefgh", "z")), store=by_agreement(1, 1)) as pool:
            strategy = ConformalExit(every=16, by="agreement")
            done = await run(strategy, asked, pool=pool, budget=Limits(calls=calls))
        assert done.value.value == "abcdefgh"[calls // 2 - 2]
        assert done.value.details["budget"] == "calls"


def traces(rng: random.Random, problems: int) -> list[list[tuple[float, bool]]]:
    """Trials of problems: wrong ones first, then right ones; surer as thinking goes on."""
    found: list[list[tuple[float, bool]]] = []
    for _ in range(problems):
        turn, skill = rng.randrange(9), rng.gauss(0.2, 0.1)
        found.append(
            [(rng.gauss(skill + 0.05 * t + 0.25 * (t >= turn), 0.1), t >= turn) for t in range(8)]
        )
    return found


def calibration(known: list[list[tuple[float, bool]]]) -> Calibration:
    examples = [Example(f"{i}", *trial) for i, trace in enumerate(known) for trial in trace]
    return Calibration("m", "t", "x", tuple(examples))


def test_few_problems_end_at_a_wrong_trial_and_fewer_as_less_may_be_missed() -> None:
    """Of those that have a wrong trial, a share of `miss` at most, within binomial error."""
    rng = random.Random(7)
    exits: list[float] = []
    for miss in (0.3, 0.1, 0.05):
        ended = missed = possible = total = 0
        for _ in range(60):
            exit = exit_of(calibration(traces(rng, 60)), miss)
            for trace in traces(rng, 20):
                first = next((right for score, right in trace if exit(score)), None)
                total += 1
                ended += first is not None
                possible += not all(right for _, right in trace)
                missed += first is False
        # Rounds share a calibration, so problems are not quite independent: twice the error.
        assert missed / possible <= miss + 6 * math.sqrt(miss * (1 - miss) / possible)
        exits.append(ended / total)
    assert exits[0] > exits[1] > exits[2] > 0.05


def test_too_few_wrong_trials_end_nothing() -> None:
    known = calibration([[(0.1, False), (0.9, True)]] * 8)
    assert not exit_of(known, 0.1)(1.0)
    assert exit_of(known, 0.2)(0.95)
