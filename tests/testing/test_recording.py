"""Recorded runs: recorded once with an engine, replayed without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft import Pool, Prompt, ScriptedEngine, Store, fan_out, generate, once, program, run, tool
from weft.errors import RunChanged, UsageError
from weft.search import majority_of
from weft.testing import calls, conversation, forbid_engines, recorded
from weft.types import Price


@tool
async def look(what: str) -> str:
    """Look something up."""
    return f"{what}!"


@program
async def agent(task: str) -> str:
    said = await generate(Prompt.user(task), tools=[look])
    said = await generate(said.prompt.tools(await said.act()))
    return said.text


@pytest.mark.parametrize("takes_tokens", [True, False])
async def test_a_recording_answers_without_an_engine(tmp_path: Path, takes_tokens: bool) -> None:
    file = tmp_path / "agent.db"
    engine = ScriptedEngine(
        conversation(calls(("look", {"what": "bees"})), "seen"),
        model="M",
        takes_tokens=takes_tokens,
        price=Price(1.0, 2.0),
    )
    async with recorded(file, engine, record=True) as pool:
        first = await run(agent, "Look.", pool=pool)
    asked = len(engine.requests)
    with forbid_engines():
        async with recorded(file, "http://127.0.0.1:1") as pool:
            again = await run(agent, "Look.", pool=pool)
    assert len(engine.requests) == asked == 2
    assert (again.value, again.usage) == (first.value, first.usage)
    assert again.usage.dollars > 0
    with pytest.raises(RunChanged, match=r"to a call in agent.*'Look twice.'.*WEFT_RECORD"):
        async with recorded(file) as pool:
            await run(agent, "Look twice.", pool=pool)


async def test_what_a_strategy_would_go_on_without_is_told_too(tmp_path: Path) -> None:
    async def attempt(text: str) -> str:
        return (await generate(Prompt.user(text))).text

    file = tmp_path / "vote.db"
    async with recorded(file, ScriptedEngine("a"), record=True) as pool:
        await run(majority_of, attempt, "x", pool=pool, n=2)
    with pytest.raises(RunChanged, match="has changed"):
        async with recorded(file) as pool:
            assert (await run(majority_of, attempt, "x", pool=pool, n=5)).value.value == "a"


async def test_deeds_and_losers_are_recorded(tmp_path: Path) -> None:
    done: list[str] = []

    @once
    async def note(text: str) -> str:
        done.append(text)
        return text

    async def ask(text: str) -> str:
        return (await generate(Prompt.user(text))).text

    @program
    async def first() -> str:
        async with fan_out(ask, ["quick", "slow"], quorum=1) as found:
            return await note(await anext(found))

    engine = ScriptedEngine({"quick": "1", "slow": "2" * 50})
    async with recorded(tmp_path / "f.db", engine, record=True) as pool:
        before = await run(first, pool=pool, id="first")
    async with recorded(tmp_path / "f.db") as pool:
        after = await run(first, pool=pool, id="first")
    assert (before.value, before.usage) == (after.value, after.usage)
    assert done == ["1"]


async def fails(file: Path) -> None:
    async with recorded(file, ScriptedEngine("two")) as pool:
        await run(generate, Prompt.user("a"), pool=pool)
        raise ZeroDivisionError


async def test_a_recording_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.db"
    with pytest.raises(UsageError, match=r"no recording .*; run this once with WEFT_RECORD=1"):
        async with recorded(file):
            pass
    monkeypatch.setenv("WEFT_RECORD", "1")
    async with recorded(file, ScriptedEngine("one")) as pool:
        await run(generate, Prompt.user("a"), pool=pool)
    with pytest.raises(ZeroDivisionError):
        await fails(file)
    monkeypatch.setenv("WEFT_RECORD", "0")
    async with recorded(file) as pool:
        assert (await run(generate, Prompt.user("a"), pool=pool)).value.text == "one"
    assert os.listdir(tmp_path) == ["kept.db"]


async def test_another_store_is_no_recording(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        async with Pool(ScriptedEngine("a"), store=store) as pool:
            await run(generate, Prompt.user("a"), pool=pool)
    with pytest.raises(UsageError, match="is a store, and no recording"):
        async with recorded(tmp_path / "s.db"):
            pass
