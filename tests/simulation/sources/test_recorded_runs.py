"""Runs of programs as workloads: what ran at once, what was waited for, what prompts share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from weft import (
    Pool,
    Prompt,
    ScriptedEngine,
    Store,
    ToolCall,
    ask_person,
    fan_out,
    gather,
    generate,
    node,
    program,
    run,
    tool,
    waiting,
)
from weft.backends.scripted.engine import Scripted
from weft.backends.simulated.hardware import find_hardware
from weft.concurrency import TaskGroup
from weft.errors import ConfigError
from weft.orchestrator import parse_policy
from weft.programs.durable.manage import answer
from weft.programs.history.event_file import EVENTS, write_events
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.metrics import measure
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import PlannedCall, Step
from weft.simulation.workloads import open_workload
from weft.store.kept_runs import KeptRuns


def shape(steps: tuple[Step, ...]) -> list[object]:
    """Stages of steps; branches in a tuple, with how many are enough."""
    made: list[object] = []
    for one in steps:
        if isinstance(one, PlannedCall):
            made.append(f"{one.stage}{'+' + one.tool if one.tool else ''}")
        else:
            made.append((one.enough, *[shape(branch) for branch in one.branches]))
    return made


def kept(folder: Path, done) -> Path:
    write_events(folder / EVENTS, done.events)
    return folder


def steps_of(folder: Path, **options) -> tuple[Any, ...]:
    (job,) = open_workload(folder, block_size=4, options=options)
    return tuple(job.steps)


def failures(folder: Path, copies: int) -> int:
    work = open_workload(folder, block_size=64, options={"copies": copies})
    fleet = SimulatedFleet(engines=2, hardware=find_hardware("h100"), kv_tokens=100_000)
    done = simulate(work, parse_policy("weft"), fleet, parse_arrivals("closed(n=4)"))
    assert measure(done.played).jobs == copies
    return measure(done.played).failed


@node
async def draft(text: str) -> str:
    return (await generate(Prompt.system("You write.").user(text))).text


@node
async def judge(texts: list[str]) -> str:
    return (await generate(Prompt.user(f"Best of: {texts}"))).text


async def test_branches_quorums_and_waits(tmp_path: Path) -> None:
    @program
    async def writes() -> str:
        await draft("plan")
        async with waiting("pytest"):
            await anyio.sleep(0.02)
        async with fan_out(draft, ["slow", "a", "b"], quorum=2) as found:
            texts = [one async for one in found]
        return await judge(texts)

    def reply(request):
        slow = request.messages[-1].content == "slow"
        return Scripted("x" * 40, hangs=slow)

    async with Pool(ScriptedEngine(reply)) as pool:
        done = await run(writes, pool=pool)
    steps = steps_of(kept(tmp_path, done))
    assert shape(steps) == ["draft+pytest", (2, ["draft"], ["draft"], ["draft"]), "judge"]
    plan, fork, last = steps
    assert isinstance(plan, PlannedCall)
    assert isinstance(last, PlannedCall)
    assert plan.wait >= 0.02
    assert (plan.prompt, plan.answer) == (len("You write.plan") + 3, 41)
    # Of a branch that was cut off nobody knows how long it had become.
    assert [one.answer for branch in fork.branches for one in branch] == [41, 41, 41]
    # Prompts share the system's turn.
    slow, a, b = (branch[0].blocks for branch in fork.branches)
    assert slow[:2] == a[:2] == b[:2] == plan.blocks[:2]
    assert a[-1] != b[-1] != plan.blocks[-1]
    assert await anyio.to_thread.run_sync(failures, tmp_path, 8) == 0


async def test_a_conversation_goes_on_from_its_answers(tmp_path: Path) -> None:
    @program
    async def talks() -> None:
        said = await generate(Prompt.user("one " * 8))
        said = await generate(said.prompt.user("two " * 8))
        await generate(said.prompt.user("three"), n=2)

    async with Pool(ScriptedEngine("an answer of some length")) as pool:
        done = await run(talks, pool=pool)
    first, second, third = steps_of(kept(tmp_path, done))
    (one,), (other,) = third.branches
    for before, after in ((first, second), (second, one)):
        whole = (before.prompt + before.answer) // 4
        assert after.blocks[:whole] == before.blocks[:whole]
    assert one.blocks[: one.prompt // 4] == other.blocks[: other.prompt // 4]
    assert one.blocks != other.blocks


async def test_tools_sub_agents_and_people(tmp_path: Path) -> None:
    @tool
    async def look_up(query: str) -> str:
        """Look something up."""
        place = order.setdefault(query, len(order))
        if place == 2:
            third.set()
        elif place == 1:
            await third.wait()
        return query

    order: dict[str, int] = {}
    third = anyio.Event()

    @program
    async def helper(task: str) -> str:
        said = await generate(Prompt.user(task), tools=[look_up])
        return (await generate(said.prompt.tools(await said.act()))).text

    @program
    async def lead() -> str:
        notes = await gather(helper, ["a", "b", "c"], programs=True, limit=2)
        await ask_person("Go on?", returns=bool)
        return await judge(notes)

    def reply(request):
        if request.messages[-1].role == "user" and len(request.messages[-1].content) == 1:
            query = {"query": request.messages[-1].content}
            return Scripted(tools=[ToolCall("look_up", query)] * 2)
        return "fine"

    store = Store()
    async with Pool(ScriptedEngine(reply), store=store) as pool, TaskGroup() as tasks:

        async def person() -> None:
            while not KeptRuns(store.database).waiting():  # noqa: ASYNC110
                await anyio.sleep(0.01)
            answer(store, "lead", "yes")

        tasks.start_soon(person)
        done = await run(lead, pool=pool, id="lead")
    steps = steps_of(kept(tmp_path, done))
    turn = ["helper+look_up", "helper"]
    fork, last = steps
    assert len(fork.branches) == 2  # two helpers at a time: the third goes on behind one of them
    shapes = sorted(len(branch) for branch in fork.branches)
    assert shapes == [2, 4]
    assert all(shape(branch)[0] == turn[0] for branch in fork.branches)
    assert all(branch[-1].tool == "person" for branch in fork.branches)
    assert all(branch[-1].wait > 0 for branch in fork.branches)
    assert shape((last,)) == ["judge"]
    assert await anyio.to_thread.run_sync(failures, tmp_path, 3) == 0


async def test_copies_share_the_systems_turn_alone(tmp_path: Path) -> None:
    async with Pool(ScriptedEngine("fine")) as pool:
        done = await run(program(draft), "a longer text that asks for something", pool=pool)
    first, second = open_workload(kept(tmp_path, done), block_size=4, options={"copies": 2})
    assert first.id != second.id
    (one,), (other,) = tuple(first.steps), tuple(second.steps)
    assert isinstance(one, PlannedCall)
    assert isinstance(other, PlannedCall)
    assert one.blocks[:2] == other.blocks[:2]
    assert not set(one.blocks[4:]) & set(other.blocks[4:])


async def test_waits_can_be_shortened(tmp_path: Path) -> None:
    @program
    async def waits() -> None:
        await draft("a")
        async with waiting("tool"):
            await anyio.sleep(0.02)
        await draft("b")

    async with Pool(ScriptedEngine("fine")) as pool:
        kept(tmp_path, await run(waits, pool=pool))
    (whole, _), (half, _), (capped, _) = (
        steps_of(tmp_path, **options) for options in ({}, {"wait_scale": 0.5}, {"wait_max": 0.001})
    )
    assert half.wait == pytest.approx(whole.wait / 2)
    assert capped.wait == 0.001


def test_a_run_without_calls_is_no_workload(tmp_path: Path) -> None:
    begins = {"at": 0.0, "kind": "program", "id": "program-1", "parent": None, "data": {}}
    (tmp_path / EVENTS).write_text(json.dumps(begins) + "\n")
    with pytest.raises(ConfigError, match="no calls to models"):
        list(open_workload(tmp_path))
