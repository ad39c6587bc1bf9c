"""TrimR: thinking ends where a verifier sees that it only repeats its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import RequestRejected
from weft.orchestrator.pool import Pool
from weft.programs import run
from weft.search import TrimR
from weft.search.early_exit.trimr import _Repeats
from weft.types import Request

CUES = ("Wait", "But", "Alternatively")


def thinking(answers: str) -> str:
    """A part for each answer; `-` is a part without one. The last part is still going on."""
    parts = [
        f"{CUES[i % 3]}, it may be {a}." if i else f"It may be {a}." for i, a in enumerate(answers)
    ]
    return "<think>" + "\n\n".join(parts)


def thinker(answers: str) -> Callable[[Request], str]:
    """Thinks so, and answers with the number of parts that are there."""
    whole = f"{thinking(answers)}\n</think>\nanswer end"

    def reply(request: Request) -> str:
        written = request.messages[-1].content if request.open else ""
        if whole.startswith(written):
            return whole[len(written) :]
        return f"answer {written.count('may be')}"

    return reply


TOKENS: list[dict[str, Any]] = [
    {"pieces": ["<think>"]},
    {"pieces": ["<think>"], "bytes": True},
    {"pieces": ["<think>", "\n\nW", ".\n\n", "ait, it"]},
]


def judge(request: Request) -> dict[str, float]:
    """Reads the parts that it is shown, and is right."""
    asked = request.messages[-1].content
    found = [line.split("may be ")[1][0] for line in asked.splitlines() if "may be" in line]
    yes = found[0] == found[1] if "Second thoughts" in asked else found[0] != "-"
    return {"yes": 0.9 if yes else 0.1, "no": 0.1 if yes else 0.9}


@pytest.mark.loops("asyncio")
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize(
    ("answers", "agree", "exit"),
    [
        ("aaaaaa", 2, 3),
        ("aaaaaa", 1, 2),
        ("abbbbb", 2, 4),
        ("ababab", 2, None),
        ("a-a-aaa", 2, 5),  # a part without an answer changes nothing
        ("aabbbb", 2, 5),
        ("aaa", 2, None),  # the third is not whole before its end
    ],
)
async def test_where_thinking_ends(
    answers: str, agree: int, exit, tokens: dict[str, Any], question
) -> None:
    parts: list[int] = []

    class Counting(ScriptedEngine):
        """Counts the parts that are there when thinking is ended."""

        def admit(self, request: Request):
            written = request.messages[-1].content
            if request.open and "</think>" in written:
                parts.append(written.count("may be"))
            return super().admit(request)

    engine = Counting(thinker(answers), judge, **tokens)
    asked = replace(question, max_tokens=30)
    async with Pool(engine):
        # Looked at after every token, thinking goes on no further than to the next cue.
        answer = await TrimR(agree=agree, every=1)(asked)
    if exit is None:
        assert answer.value == "end"
        return
    assert answer.value == str(exit)
    assert parts == [exit]
    assert len([r for r in engine.requests if r.ask]) > 0


async def test_thinking_that_does_not_agree_is_ended_too(question) -> None:
    asked = replace(question, max_tokens=30, max_think_tokens=100)
    for strategy in (TrimR(every=1, segments=3), TrimR(every=1, share=0.6)):
        async with Pool(engine := ScriptedEngine(thinker("abcdefgh"), judge, **TOKENS[0])) as pool:
            done = await run(strategy, asked, pool=pool)
        assert done.value.value == "3"
        thought = engine.requests[-1].messages[-1].content
        assert strategy.segments is not None or len(thought.partition("\n</think>")[0]) == 60 + 6


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.3])
async def test_a_false_exit_needs_two_wrong_verdicts(wrong: float) -> None:
    """No part repeats another. A verifier errs with this probability, whether it is the same."""
    chance = 0.0
    for errors in product((False, True), repeat=2):
        repeats, verdicts = _Repeats(), iter(errors)

        async def says_yes(words: str, verdicts=verdicts) -> bool:
            return next(verdicts) if "Second" in words else True

        for part in "abc":
            await repeats.judge(part, says_yes)
        weight = 1.0
        for error in errors:
            weight *= wrong if error else 1 - wrong
        chance += weight * (repeats.row >= TrimR().agree)
    assert chance == pytest.approx(wrong**2)


async def test_where_verdicts_fail_thinking_goes_on(question) -> None:
    def broken(request: Request) -> dict[str, float]:
        raise RequestRejected("no verdicts")

    async with Pool(ScriptedEngine(thinker("aaaaaa"), broken)):
        answer = await TrimR(every=9)(question)
    assert answer.value == "end"
    assert answer.details["failed"] == 1
