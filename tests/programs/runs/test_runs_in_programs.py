"""Runs that belong to a program of the scheduler's, and what a run may set for itself."""

from __future__ import annotations

import pytest

from weft.backends.http import wire
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import UnknownName
from weft.orchestrator.call import Call
from weft.orchestrator.pool import Pool
from weft.orchestrator.programs.program import Program
from weft.programs import Prompt, generate, run, score
from weft.types import Message, Request


async def ask(text: str = "hello", role: str = "solver") -> str:
    return (await generate(Prompt.user(text), role=role)).text


async def test_a_run_may_belong_to_a_program() -> None:
    engine = ScriptedEngine("x")
    async with Pool(engine) as pool:
        programs = pool.scheduler.dispatcher.programs
        agent = Program("agent", "coder", "acme")
        for calls in (1, 2):
            await run(ask, pool=pool, identity=agent)
            assert programs == {"agent": agent}
            assert agent.calls == calls
        await run(ask, pool=pool, identity=Program("agent", "other"))
        assert programs["agent"] is agent
        assert agent.calls == 3
        await run(ask, pool=pool)
        assert list(programs) == ["agent"]
    assert len({request.id for request in engine.requests}) == 4


async def test_roles_of_a_run() -> None:
    engines = {name: ScriptedEngine(name, {"yes": 1.0}, model=name) for name in ("a", "b", "c")}

    async def both() -> list[str]:
        await score(Prompt.user("good?"), ["yes"])
        return [await ask(), await ask(role="verifier")]

    async with Pool(*engines.values(), roles={"verifier": "b"}) as pool:
        assert (await run(both, pool=pool)).value == ["a", "b"]
        done = await run(both, pool=pool, roles={"solver": "c"})
        assert done.value == ["c", "b"]
        assert not engines["c"].requests[0].ask
        with pytest.raises(UnknownName):
            await run(ask, "x", "nobody", pool=pool, roles={"solver": "c"})


async def test_text_is_told_as_it_comes() -> None:
    replies = iter([Scripted("hello", dies_after=3), Scripted("hello")])
    engines = [ScriptedEngine(lambda _: next(replies), name=name) for name in "ab"]
    told: list[tuple[str, str | None]] = []
    async with Pool(*engines) as pool:
        await run(ask, pool=pool, live=lambda call, text: told.append((call, text)))
    assert [text for _, text in told] == [*"hel", None, *"hello"]
    assert len({call for call, _ in told}) == 1


async def test_a_cache_salt_goes_with_every_call() -> None:
    engine = ScriptedEngine("x", {"yes": 1.0})

    async def both() -> None:
        await ask()
        await score(Prompt.user("good?"), ["yes"])

    async with Pool(engine) as pool:
        await run(both, pool=pool, cache_salt="s")
        assert {request.cache_salt for request in engine.requests} == {"s"}
        for request in engine.requests:
            assert wire.completion_body(request, (1,), None)["cache_salt"] == "s"
        engine.requests.clear()
        await run(ask, pool=pool)
    assert "cache_salt" not in wire.completion_body(engine.requests[0], (1,), None)


def test_salted_blocks_have_names_of_their_own() -> None:
    def names(salt: str, answer: tuple[int, ...] = ()) -> list[int]:
        request = Request("r", "m", (Message("user", ""),), tokens=tuple(range(8)), cache_salt=salt)
        return list(Call(request).reported_hashes(4, answer))

    assert len(names("")) == len(names("s")) == 2
    assert not set(names("s")) & set(names(""))
    assert names("s", (1, 2, 3, 4))[:2] == names("s")
    assert len(names("s", (1, 2, 3, 4))) == 3
