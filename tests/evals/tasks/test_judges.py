"""Judges: a model with a rubric, as a verifier and as a scorer."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from weft import Pool, Prompt, ScriptedEngine
from weft.errors import PartFailed, RequestRejected, UsageError
from weft.evals.tasks.files.jsonl import JsonlTask
from weft.evals.tasks.scorer import parse_scorer
from weft.search import Question
from weft.search.judges import criteria, prefer
from weft.search.strategy import Answer
from weft.search.verifiers import NO_TOKENS, read_verifier
from weft.types import Request

QUESTION = Question(
    prompt=Prompt.system("Be kind.").user("Say hello."),
    answer=lambda text: text,
    complete=lambda text: False,
)


def says(request: Request) -> dict[str, float]:
    """Yes where the answer has the criterion's word; the longer of two, and rather the first."""
    asked = request.messages[-1].content
    if "Answer 1:" in asked:
        one, two = (asked.split(f"Answer {n}:\n")[1].split("\n\n")[0] for n in (1, 2))
        first = 0.7 if len(one) > len(two) else 0.3
        return {"1": first + 0.2, "2": 0.8 - first}
    answer = asked.split("Answer:\n")[1].split("\n\n")[0]
    word = asked.split("Criterion: ")[1].split("\n")[0].split()[-1]
    return {"yes": 0.8, "no": 0.2} if word in answer else {"yes": 0.1, "no": 0.4}


def test_a_rubric_is_a_list_of_criteria() -> None:
    assert criteria("- is short;is kind\n  names you \n") == ["is short", "is kind", "names you"]
    assert criteria(r"a\nb") == ["a", "b"]
    with pytest.raises(UsageError, match="rubric is empty; write criteria"):
        read_verifier("judge(rubric=' ; ')")


async def test_a_verifier_asks_about_each_criterion() -> None:
    engine = ScriptedEngine("", says)
    judge = read_verifier("judge(rubric='has hello; has you')")
    async with Pool(engine):
        score = await judge(QUESTION, "<think>you</think>hello", NO_TOKENS)
    assert score == pytest.approx((0.8 + 0.2) / 2)
    assert len({r.messages[-1].content for r in engine.requests}) == 2
    assert "Be kind.\n\nSay hello." in engine.requests[0].messages[-1].content


async def test_two_answers_are_compared_in_both_orders() -> None:
    async with Pool(ScriptedEngine("", says)):
        better = await prefer("Say.", "a long one", "short", "length", "verifier")
        worse = await prefer("Say.", "short", "a long one", "length", "verifier")
        equal = await prefer("Say.", "same", "same", "length", "verifier")
    assert better == pytest.approx(1 - worse)
    assert better > 0.6
    assert equal == 0.5, "the place of an answer does not matter"


async def test_a_scorer_decides_what_is_right(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "Greet me.", "answer": ["hello", "hi"]}) + "\n")
    task = JsonlTask(path, reader="text", scorer="judged")
    (sample,) = task.samples(None, 0)
    engine = ScriptedEngine("", says)
    good, bad = Answer("Well, hi there.\nSir", "Sir"), Answer("No.", "No")
    async with Pool(engine):
        for answer, correct in ((good, True), (bad, False), (Answer(None, None), False)):
            found = await anyio.to_thread.run_sync(partial(task.correct, sample, answer))
            assert found is correct
        asked = len(engine.requests)
        assert await anyio.to_thread.run_sync(partial(task.credit, sample, good)) == 0.8
        assert len(engine.requests) == asked, "one answer is judged once"
    assert task.slow


async def test_what_a_judge_can_not_do_is_said(tmp_path: Path) -> None:
    judge = parse_scorer("preferred")
    with pytest.raises(UsageError, match="asks a model, which it can only while an evaluation"):
        judge("a", "b")

    def refuses(request: Request) -> dict[str, float]:
        raise RequestRejected("scripted", "no verdicts today")

    async with Pool(ScriptedEngine("", refuses)):
        with pytest.raises(PartFailed, match=r"the scorer preferred can't ask .*no verdicts today"):
            await anyio.to_thread.run_sync(judge, "a", "b")
