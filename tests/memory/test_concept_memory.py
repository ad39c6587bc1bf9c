"""Concept memory: only what was verified is written; merging has no order; reruns see the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import Pool, Prompt, ScriptedEngine, Store, budget, generate, run
from weft.backends.scripted.engine import Scripted
from weft.errors import PartFailed, UsageError
from weft.memory import (
    Concept,
    ConceptMemory,
    Studied,
    learn,
    merged,
    recall,
    rendered,
    study,
)
from weft.types import Request

FILL = Concept(
    name="Flood fill",
    kind="routine",
    subtype="grid",
    output="grid",
    parameters=["start", "colour"],
    description="Fills what is connected.",
    cues=["closed shapes"],
    notes=["visit neighbours"],
    used=["p1"],
)

texts = st.text(max_size=8)
lines = st.lists(texts, max_size=25)
concepts = st.builds(
    lambda **fields: Concept(name="same name", **fields),
    kind=st.sampled_from(["structure", "routine"]),
    subtype=texts,
    output=texts,
    parameters=lines,
    description=texts,
    cues=lines,
    notes=lines,
    used=lines,
)


@given(concepts, concepts, concepts)
def test_merging_has_no_order_and_happens_once(a: Concept, b: Concept, c: Concept) -> None:
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    both = merged(a, b)
    assert merged(both, both) == both == merged(both, a)
    assert Concept.model_validate_json(both.model_dump_json()) == both


def test_concepts_are_read_as_models_write_them() -> None:
    row = {"name": " Flood_Fill ", "kind": "Structures", "parameters": [{"name": "a", "type": "b"}]}
    made = Concept.model_validate({**row, "cues": "one\n\ntwo", "notes": None, "output": 3})
    assert (made.key, made.kind, made.parameters) == ("flood fill", "structure", ["a: b"])
    assert (made.cues, made.notes, made.output) == (["one", "two"], [], "3")
    assert merged(made, FILL).used == ["p1"]
    assert merged(made, FILL).name == "Flood fill"
    for wrong in ({}, {"name": ""}, {"name": "x", "cues": 3}):
        with pytest.raises(ValueError, match=r"name|cues"):
            Concept.model_validate(wrong)
    text = rendered([FILL, made])
    assert text.startswith("## Flood fill (routine, grid)\nFills what is connected.\nGives: grid\n")
    assert "- closed shapes" in text
    assert rendered([FILL, made], most=len(text) - 1) in text


def test_a_memory_is_bounded_and_keeps_what_was_used_most(tmp_path: Path) -> None:
    with Store(tmp_path / "m.db") as store:
        memory, other = ConceptMemory(store, most=3), ConceptMemory(store, "other")
        many = [Concept(name=f"c{n}", used=[f"p{i}" for i in range(n)]) for n in range(6)]
        with pytest.raises(UsageError, match="verified"):
            memory.add(many, verified=False)
        memory.add(many[:4], verified=True)
        memory.add(many[4:], verified=True)
        assert [one.name for one in memory.all()] == ["c3", "c4", "c5"]
        assert len(other) == 0
        memory.add([Concept(name="C5", cues=["x"], used=["q"])], verified=True)
        other.add([FILL], verified=True)
        memory.forget("C4!", "nobody")
    with Store(tmp_path / "m.db") as store:
        memory = ConceptMemory(store)
        assert [(one.name, len(one.used)) for one in memory.all()] == [("c3", 3), ("C5", 6)]
        memory.clear()
        assert len(memory) == 0
        assert ConceptMemory(store, "other").all() == [merged(FILL, FILL)]
    with Store() as store:
        wrong: dict[str, Any]
        for wrong in ({"name": ""}, {"most": 0}):
            with pytest.raises(UsageError):
                ConceptMemory(store, **wrong)


def test_a_memory_in_postgresql(postgres: Any) -> None:
    with Store(postgres.database()) as store:
        memory = ConceptMemory(store, most=2)
        for name in ("b", "flood-fill", "c"):
            memory.add([FILL, Concept(name=name)], verified=True)
        assert [one.key for one in memory.all()] == ["c", "flood fill"]


def _last(request: Request) -> str:
    return request.messages[-1].content


def _teacher(request: Request) -> str:
    asked = _last(request)
    if asked.startswith("Problem:"):
        return "for each cell: fill"
    if asked.startswith("From this pseudocode"):
        good = {"name": "Flood fill", "kind": "routine", "cues": ["holes"]}
        return json.dumps([good, {"kind": "no name"}])
    return '["flood FILL", "made up"]'


async def test_only_what_is_right_is_learned() -> None:
    async with Pool(engine := ScriptedEngine(_teacher)):
        with Store() as store:
            memory = ConceptMemory(store)
            assert await learn(memory, "p", "s", check=lambda s: False) == []
            assert not engine.requests
            assert len(memory) == 0
            for wrong in ("yes", None, 1):
                with pytest.raises(PartFailed):
                    await learn(memory, "p", "s", check=lambda s, w=wrong: w)  # pyright: ignore

            async def right(solution: str) -> bool:
                return solution == "s"

            (made,) = await learn(memory, "p 1", "s", check=right)
            assert memory.all() == [made]
            assert made.used == ["p 1"]
            assert made.cues == ["holes"]
            recalled = await recall(memory, "another")
            assert recalled.concepts == (made,)
            assert recalled.unknown == ("made up",)
            assert "Flood fill" in recalled.text


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("I take:\n- Flood fill\n- other", ["Flood fill"]),
        ('```json\n["flood-fill"]\n```', ["Flood fill"]),
        ('{"names": "Flood fill"', ["Flood fill"]),
        ("[]", []),
        ("none", []),
    ],
)
async def test_names_are_read_and_unknown_ones_left_out(said: str, names: list[str]) -> None:
    async with Pool(engine := ScriptedEngine(said)):
        with Store() as store:
            memory = ConceptMemory(store)
            assert (await recall(memory, "p")).concepts == ()
            assert not engine.requests
            memory.add([FILL], verified=True)
            assert [c.name for c in (await recall(memory, "p")).concepts] == names
    async with Pool(ScriptedEngine([Scripted("", refuses="no")])):
        with Store() as store:
            memory = ConceptMemory(store)
            memory.add([FILL], verified=True)
            assert (await recall(memory, "p")).concepts == ()


@pytest.mark.parametrize("id", ["r", None])
async def test_a_rerun_sees_what_it_saw(id: str | None) -> None:
    with Store() as store:
        memory = ConceptMemory(store)
        memory.add([FILL], verified=True)

        async def reads() -> list[list[str]]:
            first = await recall(memory, "p")
            second = await recall(memory, "q")
            again = await recall(memory, "p")
            return [[c.name for c in one.concepts] for one in (first, second, again)]

        values: list[list[list[str]]] = []
        for added in ("one", "two"):
            async with Pool(engine := ScriptedEngine('["flood fill", "one"]'), store=store) as pool:
                values.append((await run(reads, pool=pool, id=id)).value)
            memory.add([Concept(name=added)], verified=True)
        assert values[0] == values[1] == [["Flood fill"]] * 3
        assert not engine.requests
        async with Pool(ScriptedEngine('["flood fill", "one"]'), store=store) as pool:
            fresh = (await run(reads, pool=pool, id="another")).value
        assert fresh == [["Flood fill", "one"]] * 3


async def test_memory_helps_with_later_problems() -> None:
    """The planted concept: a problem is solved only by who knows how another was solved."""
    tried: list[tuple[str, str]] = []

    async def solve(problem: str, notes: str) -> str:
        tried.append((problem, notes))
        if problem == "broken":
            raise ValueError("no")
        return "right" if problem == "first" or "Flood fill" in notes else "wrong"

    def judge(problem: str, solution: str) -> bool | str:
        return True if solution == "right" else f"{solution} is wrong"

    problems = ["first", "second", "broken"]
    with Store() as store:
        async with Pool(ScriptedEngine(_teacher)):
            memory = ConceptMemory(store)
            done = await study(problems, solve, judge, memory, passes=2, batch=3)
            assert [one.solved for one in done] == [True, True, False]
            assert [one.passes for one in done] == [1, 2, 2]
            assert done[1].concepts == ("Flood fill",)
            assert "ValueError" in done[2].wrong
            assert "wrong is wrong" in dict(tried)["second"]
            assert memory.all()[0].used == ["first", "second"]
            one_by_one = ConceptMemory(store, "smaller batches")
            done = await study(problems[:2], solve, judge, one_by_one, passes=1, batch=1)
            assert [one.passes for one in done] == [1, 1]
            assert all(one.solved for one in done)
            without = await study(["second"], solve, judge, ConceptMemory(store, "empty"))
            assert not without[0].solved
            assert without[0].passes == 3
        with pytest.raises(UsageError):
            await study(problems, solve, judge, memory, batch=0)


async def test_a_budget_ends_a_study_and_what_was_solved_is_given() -> None:
    async def solve(problem: str, notes: str) -> str:
        return "right"

    with Store() as store:
        async with Pool(ScriptedEngine(_teacher)):
            memory = ConceptMemory(store)
            with budget(calls=2):
                done = await study(["a", "b"], solve, lambda p, s: True, memory, batch=1)
    assert [one.solved for one in done] == [True, True]


def _pupil(request: Request) -> Scripted:
    asked = _last(request)
    if asked.startswith(("Problem:", "From this", "Here are")):
        return Scripted(_teacher(request), seconds=0.02)
    return Scripted("right" if "first" in asked or "Flood fill" in asked else "wrong", seconds=0.02)


@pytest.mark.loops("virtual")
@pytest.mark.parametrize("id", ["r", None])
@pytest.mark.parametrize("seconds", [0.1, 1.0, 1.5])
async def test_a_study_that_was_killed_goes_on(id: str | None, seconds: float) -> None:
    async def solve(problem: str, notes: str) -> str:
        return (await generate(Prompt.user(f"{problem}\n{notes}"))).text

    with Store() as store:
        memory = ConceptMemory(store)

        async def learns() -> list[Studied]:
            problems = ["second", "first", "third"]
            return await study(problems, solve, lambda p, s: s == "right", memory, batch=2)

        counts: list[int] = []
        values: list[list[Studied]] = []
        for lasts in (seconds, None, None):
            async with Pool(engine := ScriptedEngine(_pupil), store=store) as pool:
                with anyio.move_on_after(lasts):
                    values.append((await run(learns, pool=pool, id=id)).value)
            counts.append(len(engine.requests))
            if lasts is None:  # what others learn meanwhile does not change what it saw
                memory.add([Concept(name=f"later {len(counts)}")], verified=True)
    assert values[-1] == values[-2]
    assert all(one.solved for one in values[-1])
    assert counts[2] == 0
    assert min(counts[:2]) > 0
    assert 12 <= sum(counts) <= 12 + 2  # only what was in flight is paid twice


async def test_a_study_that_is_left_leaves_nothing_running() -> None:
    async with Pool(engine := ScriptedEngine([Scripted("", hangs=True)])):
        with Store() as store:
            memory = ConceptMemory(store)
            memory.add([FILL], verified=True)

            async def solve(problem: str, notes: str) -> str:
                return "x"

            with anyio.move_on_after(0.05) as scope:
                await study(["a", "b"], solve, lambda p, s: True, memory)
        assert scope.cancelled_caught
        assert engine.running == 0
