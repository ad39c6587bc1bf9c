"""Dynasor's probe: thinking ends when its answer stays the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import RequestRejected, Unsupported
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import ConvergenceProbe
from weft.types import Request

LINE = "line {:03}.......\n"
"""Of 16 tokens, so that each piece of 16 is one of them."""


def thinker(answers: Sequence[str], final: str) -> Callable[[Request], str]:
    """Thinks in lines; asked behind so many of them, gives the answer of that number.

    An empty one is no answer that can be read.
    """
    thinking = "<think>........\n" + "".join(map(LINE.format, range(1, len(answers) + 1)))
    whole = f"{thinking}so: </think>\nanswer {final}"

    def reply(request: Request) -> str:
        written = request.messages[-1].content if request.open else ""
        if whole.startswith(written):
            return whole[len(written) :]
        lines = written.count("line")
        return f"answer {answers[lines - 1]}" if lines and answers[lines - 1] else "no idea"

    return reply


def asked(engine: ScriptedEngine) -> list[str]:
    """What was written where the answer was asked for."""
    return [r.messages[-1].content for r in engine.requests if r.sampling.temperature == 0]


@pytest.mark.parametrize(
    ("answers", "agree", "exit"),
    [
        ("xyyyyy", 3, 4),
        ("yyyyyy", 3, 3),
        ("yyzzzyyyy", 3, 5),
        ("xyxyxy", 2, None),
        ("xyyyyy", 1, 1),
        ("xxyyyyy", 5, 7),
        (["x", "x", "", "x", "x", "x"], 3, 6),  # what can't be read agrees with nothing
        ("xyz", 3, None),
    ],
)
async def test_where_thinking_ends(answers: Sequence[str], agree: int, exit, question) -> None:
    engine = ScriptedEngine(thinker(answers, "f"))
    async with Pool(engine) as pool:
        done = await run(ConvergenceProbe(every=16, agree=agree), question, pool=pool)
    answer = done.value
    pieces = [r for r in engine.requests if r.sampling.temperature > 0]
    # The first question comes behind the first piece, in which there is no line yet.
    questions = exit if exit is not None else len(answers)
    assert len(asked(engine)) == questions + 1
    if exit is None:
        assert (answer.value, answer.text) == ("f", "answer f")
    else:
        assert answer.value == answers[exit - 1]
        assert len(pieces) == exit + 1
        assert all(r.sampling.max_tokens == 16 for r in pieces)
    # Thinking goes on from its own tokens, as if nobody had asked.
    for before, after in pairwise(tuple(r.tokens or ()) for r in pieces):
        assert after[: len(before)] == before


@pytest.mark.parametrize("tokens", [{}, {"bytes": True}, {"pieces": ["....\nline", "<think>."]}])
async def test_the_answer_is_asked_for_behind_a_whole_line(
    tokens: dict[str, Any], question
) -> None:
    engine = ScriptedEngine(thinker("aaaaaaaa", "f"), **tokens)
    async with Pool(engine):
        answer = await ConvergenceProbe(every=13, agree=3)(question)
    assert answer.value == "a"
    for text in asked(engine):
        thought, mark, rest = text.partition("</think>\n")
        assert (mark, rest) == ("</think>\n", "")
        assert thought.endswith("\n")


async def test_outside_thinking_nobody_asks(question) -> None:
    whole = "reasons, " * 6 + "answer z"
    for most, written in ((80, whole), (20, whole[:20])):
        plain = replace(question, think=None, max_tokens=most)
        engine = ScriptedEngine(lambda r: whole[len(r.messages[-1].content) if r.open else 0 :])
        async with Pool(engine):
            answer = await ConvergenceProbe(every=16)(plain)
        assert answer.text == written
        assert len(engine.requests) == 2


async def test_thinking_that_does_not_end_is_ended(question) -> None:
    engine = ScriptedEngine(thinker("abababab", "f"))
    short = replace(question, max_tokens=10, max_think_tokens=70)
    async with Pool(engine) as pool:
        done = await run(ConvergenceProbe(every=16, final="so: "), short, pool=pool)
    assert done.value.text == "so: answer b"  # of the fourth line, as far as it goes
    assert engine.requests[-1].messages[-1].content.endswith("line 0\n</think>\nso: ")


async def test_at_the_end_of_any_budget_the_last_answer_is_kept(question) -> None:
    for calls in range(1, 9):
        async with Pool(ScriptedEngine(thinker("abcdefgh", "z"))) as pool:
            done = await run(
                ConvergenceProbe(every=16), question, pool=pool, budget=Limits(calls=calls)
            )
        # A piece and a question in turn; the first question is about no line.
        assert done.value.value == (None if calls < 4 else "abcdefgh"[calls // 2 - 2])
        assert done.value.details["budget"] == "calls"


async def test_a_failing_piece_leaves_the_last_answer(question) -> None:
    reply = thinker("abcdefgh", "z")

    def failing(request: Request) -> str:
        if request.sampling.temperature and "line 003" in request.messages[-1].content:
            raise RequestRejected("no more")
        return reply(request)

    async with Pool(ScriptedEngine(failing)):
        assert (await ConvergenceProbe(every=16)(question)).value == "c"


async def test_an_engine_that_can_t_go_on(question) -> None:
    async with Pool(ScriptedEngine(thinker("abc", "z"), takes_tokens=False)):
        with pytest.raises(Unsupported, match="can't continue"):
            await ConvergenceProbe(every=16)(question)
