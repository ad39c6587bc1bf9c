"""What the comparison of agents counts; the comparison itself starts processes, and is no test."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from agent_frameworks import ANSWERS, PROGRAMS, WAYS, WEFT, Part, lines_of, losers, paid_twice
from weft import Pool

Asked, Counting = import_module("said").Asked, import_module("said").Counting
run_one, world = import_module("run_one"), import_module("world")


@pytest.mark.parametrize("about", PROGRAMS)
async def test_programs_of_weft_give_the_answers_and_keep_them(
    about: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "FOLDER", tmp_path)
    program = import_module(WAYS[WEFT].files[about])
    engine = Counting()
    engine.token_seconds = 0.0
    async with Pool(engine) as pool:
        for _ in range(2):
            said = await program.main(pool, tmp_path, run_one.QUESTIONS[about])
            assert said == ANSWERS[about]
    assert len(engine.asked) == {"sql": 6, "coding": 6, "rag": 3}[about]


def asked(key: str, tokens: int, *, done: bool = True) -> Any:
    return Asked(key, 0, [float(at) for at in range(tokens)], done, None if done else 9.0)


def test_paid_twice_is_what_had_been_answered_and_was_asked_again() -> None:
    whole = Part([asked("a", 5), asked("a", 5), asked("b", 7)], [])
    killed = Part([asked("a", 5), asked("a", 3, done=False)], [])
    assert paid_twice(whole, [killed, Part([asked("a", 5), asked("b", 7)], [])]) == 0
    assert paid_twice(whole, [killed, whole]) == 5
    assert paid_twice(whole, [killed, killed, whole]) == 10


def test_losers_are_those_that_go_on_behind_the_decision() -> None:
    notes = [("rows", float(at)) for at in (1, 2, 3, 4)]
    late, wasted = losers(Part([asked("a", 3), asked("a", 8, done=False)], notes))
    assert (late, wasted) == ([5000.0], [3])


def test_lines_of_code_are_counted_without_what_explains_them() -> None:
    files = [file for way in WAYS.values() for file in way.files.values()]
    assert all(4 < lines_of(file) < 40 for file in files)
    assert lines_of("weft_rag") == 14
