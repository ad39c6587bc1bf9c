"""TIM: the answer rests on conclusions, pruning keeps the prefix, and nothing readable is lost."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import Pool, Prompt, ScriptedEngine, Store, budget, run, tool
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, RequestRejected, UsageError
from weft.threads import tim
from weft.threads.task_memory import Subtask
from weft.threads.task_tree import LAST, UNREAD, task_schema
from weft.types import Request

THOUGHT = "I look at it from all sides. " * 8
NUMBERED = re.compile(r"Now subtask ([\d.]+): (.*)")


def said(title: str = "", thought: str = "", **more: Any) -> str:
    return json.dumps({"title": title, "thought": thought, **more})


def planner(parts: int = 4, *, deep: bool = False) -> ScriptedEngine:
    """Answers with parts, each of which is a number; the whole adds up their conclusions."""

    def reply(request: Request) -> str:
        asked = request.messages[-1].content
        found = NUMBERED.match(asked)
        if found is None:
            numbers = re.findall(r'"conclusion": "is (\d+)"', str(request.messages))
            if "Go on with the whole" in asked:
                return said(conclusion=str(sum(map(int, numbers))))
            if asked.startswith("Go on with subtask"):
                return said("inner", conclusion="is 5")
            return said(subtasks=[{"title": f"part {n}"} for n in range(parts)])
        number, title = found.groups()
        if deep and number == "2":
            return said(title, THOUGHT, subtasks=[{"title": "inner"}])
        if number.count("."):
            return said(title, THOUGHT, conclusion="half of 10")
        return said(title, THOUGHT, conclusion=f"is {len(number)}")

    return ScriptedEngine(reply)


def prompts(engine: ScriptedEngine) -> list[tuple[int, ...]]:
    return [tuple(one.tokens or ()) for one in engine.requests]


async def test_subtasks_are_worked_on_depth_first_and_only_conclusions_stay() -> None:
    async with Pool(engine := planner(3, deep=True)) as pool:
        done = (await run(tim, Prompt.user("Add up."), buffer=0, pool=pool)).value
    assert (done.text, done.whole, done.threads) == ("7", True, 4)
    assert [one[0] for one in done.details["tasks"]] == ["", "1", "2", "2.1", "3"]
    assert done.details["pruned"] == 4
    last = engine.requests[-1].messages
    assert THOUGHT.strip() not in str(last)
    assert [one.content for one in last[2:]] == [
        "Now subtask 1: part 0",
        '{"title": "part 0", "conclusion": "is 1"}',
        "Now subtask 2: part 1",
        '{"title": "part 1", "conclusion": "is 5"}',
        "Now subtask 3: part 2",
        '{"title": "part 2", "conclusion": "is 1"}',
        "Go on with the whole.",
    ]
    roles = [one.role for one in last]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


@given(buffer=st.integers(0, 4), memory=st.none() | st.integers(100, 4000))
async def test_what_depends_on_conclusions_alone_is_the_same(
    buffer: int, memory: int | None
) -> None:
    async with Pool(planner(4, deep=True)):
        done = await tim(Prompt.user("Add up."), buffer=buffer, memory=memory)
    assert (done.text, done.whole, done.threads) == ("8", True, 5)


async def test_the_context_is_held_to_the_conclusions_and_the_buffer() -> None:
    peaks = {}
    for parts in (4, 16):
        async with Pool(engine := planner(parts)):
            await tim(Prompt.user("Add up."), buffer=1, width=16)
        plan = len(prompts(engine)[1]) - len(said(subtasks=[]))
        peaks[parts] = len(prompts(engine)[-1]) - plan
    each = len('Now subtask 16: part 15 {"title": "part 15", "conclusion": "is 2"} ') + 8
    assert peaks[16] - peaks[4] <= 12 * each  # no thought of the twelve is there


async def test_late_subtasks_go_first_so_the_prefix_stays_in_the_cache() -> None:
    async with Pool(engine := planner(6)) as pool:
        whole = await run(tim, Prompt.user("Add up."), memory=10**6, pool=pool)
        longest = whole.value.details["peak"]
    async with Pool(engine := planner(6)) as pool:
        done = await run(tim, Prompt.user("Add up."), memory=longest - 200, buffer=0, pool=pool)
    assert done.value.text == whole.value.text
    assert done.value.details["pruned"] >= 1
    assert done.value.details["peak"] <= longest - 200
    tasks = str(engine.requests[-1].messages)
    assert tasks.count(THOUGHT.strip()) == 6 - done.value.details["pruned"]
    # All that stands before the latest subtask is as it was, and is not computed again.
    before, after = prompts(engine)[-2:]
    same = next(at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    assert THOUGHT.strip() in engine.vocabulary.decode(before[:same])
    assert done.usage.cached >= sum(map(len, prompts(engine)[1:])) * 0.7


async def test_what_is_not_pruned_keeps_its_tokens() -> None:
    async with Pool(planner(4)):
        done = await tim(Prompt.user("Add up."), buffer=2)
    answers = [piece for piece in done.prompt.lineage() if piece.role == "assistant"]
    assert [piece.tokens is not None for piece in reversed(answers)] == [
        True,  # the plan
        *(False, False),
        *(True, True),  # in the buffer
        True,
    ]


@tool
async def look_up(name: str) -> int:
    """Look a number up."""
    if name == "ghost":
        raise LookupError("nobody knows")
    return {"bees": 6, "ants": 4}[name]


async def test_tools_run_within_tasks_and_their_results_are_pruned() -> None:
    def use(name: str) -> dict[str, Any]:
        return {"tool": {"name": "look_up", "arguments": {"name": name}}}

    def reply(request: Request) -> str:
        asked = request.messages[-1].content
        if "Result of look_up:" in asked:
            result = asked.partition("Result of look_up:\n")[2].partition("\n")[0]
            return said(conclusion=f"it is {result}")
        if "Go on with the whole" in asked:
            return said(conclusion="done")
        if "Now subtask 2" in asked:
            return said("second", **use("ghost"))
        # The first is to use its tool at once; the third has ended in this answer.
        return said(
            subtasks=[
                {"title": "first", **use("bees")},
                {"title": "second"},
                {"title": "third", "thought": THOUGHT, "conclusion": "it is 1"},
            ],
            conclusion="too early",
        )

    async with Pool(engine := ScriptedEngine(reply)) as pool:
        result = await run(tim, Prompt.user("Count."), tools=[look_up], buffer=0, pool=pool)
    done = result.value
    assert (done.text, done.whole, done.threads) == ("done", True, 2)
    assert [one[2] for one in done.details["tasks"]] == [
        "done",
        "it is 6",
        "it is error: LookupError: nobody knows",
    ]
    last = str(engine.requests[-1].messages)
    assert "Result of" not in last
    assert THOUGHT.strip() not in last  # of what ended within an answer too
    assert "it is 1" in last
    named = [event.data["name"] for event in result.events if event.kind == "node"]
    assert named.count("look_up") == 2
    assert named.count("subtask") == 2


async def test_answers_that_can_not_be_read_are_asked_for_again_and_then_taken_as_they_are() -> (
    None
):
    async with Pool(engine := ScriptedEngine(["I think so.", said(conclusion="7")])):
        done = await tim(Prompt.user("?"))
        assert (done.text, done.whole) == ("7", True)
        assert engine.requests[-1].messages[-1].content == UNREAD.format(why="")
    async with Pool(ScriptedEngine("It is 7.")):
        assert (await tim(Prompt.user("?"))).text == "It is 7."
        assert (await tim(Prompt.user("?"), steps=1)).text == "It is 7."


async def test_when_steps_end_the_conclusion_is_asked_for() -> None:
    def reply(request: Request) -> str:
        if request.messages[-1].content == LAST:
            return '{"conclusion": "so far"}'
        return said(subtasks=[{"title": "more"}])

    for steps in (2, 5, 9):
        async with Pool(engine := ScriptedEngine(reply)):
            done = await tim(Prompt.user("?"), steps=steps, depth=2)
        assert (done.text, done.whole) == ("so far", False)
        assert len(engine.requests) == steps == done.details["steps"]
        assert max(one[0].count(".") for one in done.details["tasks"]) <= 1


async def test_at_the_end_of_a_budget_the_conclusions_are_given() -> None:
    async with Pool(engine := planner(3)):
        with budget(calls=3):
            done = await tim(Prompt.user("Add up."))
        assert (done.text, done.whole) == ("part 0: is 1\npart 1: is 1", False)
        with budget(calls=1), pytest.raises(BudgetExceeded):
            await tim(Prompt.user("Add up."))
        assert engine.running == engine.waiting == 0
    async with Pool(ScriptedEngine(lambda request: Scripted(refuses="no"))):
        with pytest.raises(RequestRejected):
            await tim(Prompt.user("?"))


async def test_a_rerun_asks_nothing_again() -> None:
    async with Pool(engine := planner(3), store=Store()) as pool:
        first = await run(tim, Prompt.user("Add up."), pool=pool)
        again = await run(tim, Prompt.user("Add up."), pool=pool)
    assert first.value.text == again.value.text
    assert first.usage == again.usage
    assert len(engine.requests) == 5


async def test_an_engine_that_takes_text_does_as_well() -> None:
    engine = planner(3)
    engine.takes_tokens = engine.continues = False
    async with Pool(engine):
        assert (await tim(Prompt.user("Add up."), buffer=0)).text == "3"


def test_the_schema_is_recursive_and_what_follows_it_is_read() -> None:
    schema = task_schema([], 3)
    assert schema["properties"]["subtasks"]["items"] == {"$ref": "#/$defs/Subtask"}
    assert schema["$defs"]["Subtask"]["properties"] == schema["properties"]
    told = {"title": "a", "subtasks": [{"title": "b", "subtasks": [], "conclusion": "c"}]}
    assert Subtask.model_validate(told).kept()["subtasks"] == [{"title": "b", "conclusion": "c"}]


async def test_arguments_out_of_range_are_named() -> None:
    async with Pool(ScriptedEngine("x")):
        for name, value in (("memory", 0), ("buffer", -1), ("width", 0), ("steps", 0)):
            wrong: dict[str, Any] = {name: value}
            with pytest.raises(UsageError, match=f"tim {name}={value}"):
                await tim(Prompt.user("?"), **wrong)
