from __future__ import annotations

from dataclasses import replace

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.search import Revise


async def test_each_answer_sees_those_before(question) -> None:
    texts = iter(["answer 1", "answer 3", "answer 2", "answer 0"])
    engine = ScriptedEngine(lambda request: next(texts))
    async with Pool(engine):
        graded = replace(question, check=lambda text: int(text[-1]) / 4)
        answer = await Revise(n=4, verifier="function", memory=2)(graded)
    assert (answer.value, answer.score) == ("3", 0.75)
    seen = [[m.content for m in r.messages if m.role == "assistant"] for r in engine.requests]
    assert seen == [[], ["answer 1"], ["answer 1", "answer 3"], ["answer 3", "answer 2"]]


@pytest.mark.parametrize("enough", [None, 0.5])
async def test_enough_ends_it(question, enough: float | None) -> None:
    texts = iter(["answer 1", "answer 2", "answer 3"])
    async with Pool(engine := ScriptedEngine(lambda request: next(texts))):
        graded = replace(question, check=lambda text: int(text[-1]) / 4)
        answer = await Revise(n=3, verifier="function", enough=enough)(graded)
    assert answer.value == ("3" if enough is None else "2")
    assert len(engine.requests) == (3 if enough is None else 2)
