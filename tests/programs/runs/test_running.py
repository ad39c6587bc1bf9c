from typing import Any

import pytest
from anyio import CancelScope
from anyio.lowlevel import checkpoint

from weft import Limits, Pool, Prompt, ScriptedEngine, Store, generate, node, program, run, start
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, UsageError
from weft.programs.history.journal import Journal


@node
async def attempt(text: str) -> str:
    return (await generate(Prompt.user(text))).text


@program
async def fix(*issues: str) -> list[str]:
    return [await attempt(issue) for issue in issues]


@program
async def fail(issue: str) -> None:
    await attempt(issue)
    raise KeyError(issue)


def engine() -> ScriptedEngine:
    return ScriptedEngine({"a": "1", "b": "2", "slow": Scripted(hangs=True)})


async def test_events_come_while_it_runs_and_then_the_run():
    async with Pool(engine()) as pool, start(fix, "a", "b", pool=pool) as running:
        kinds: list[str] = []
        async for event in running:
            kinds.append(event.kind)
            if kinds.count("call") == 1:
                assert not running.over
        done = await running
    assert done.value == ["1", "2"]
    assert kinds == [event.kind for event in done.events]
    assert running.over
    assert running.usage == done.usage
    assert running.mermaid() == done.mermaid()


async def test_leaving_cancels_and_counts():
    served = engine()
    async with Pool(served) as pool:
        async with start(fix, "a", "slow", pool=pool) as running:
            sent = 0
            async for event in running:
                sent += event.kind == "sent"
                if sent == 2:
                    assert running.usage.calls == 1
                    assert running.spans[event.id].status == "running"
                    break
            while not served.running:
                await checkpoint()
        assert (served.running, served.cancelled) == (0, 1)
        assert running.usage.calls == 2
        assert [event.kind async for event in running][-1] == "cancelled"
        with pytest.raises(UsageError, match="was cancelled"):
            await running


async def test_a_failed_run_keeps_usage_and_graph():
    async with Pool(engine()) as pool:
        async with start(fail, "a", pool=pool) as running:
            with pytest.raises(KeyError):
                async for _ in running:
                    pass
            with pytest.raises(KeyError):
                await running
        assert running.usage.calls == 1
        assert running.graph.number_of_nodes() == 3
        assert running.spans["program-1"].status == "failed"

        async def unread() -> None:
            async with start(fail, "a", pool=pool) as running:
                while not running.over:
                    await checkpoint()

        with pytest.raises(KeyError):  # passes in no silence
            await unread()
        with pytest.raises(ZeroDivisionError):
            async with start(fail, "a", pool=pool):
                raise ZeroDivisionError
        with pytest.raises(BudgetExceeded):
            async with start(fix, "a", "b", pool=pool, budget=Limits(calls=1)) as running:
                await running
        assert running.usage.calls == 1


async def test_within_a_program_it_is_a_part_and_a_rerun_pays_nothing():
    served = engine()

    @program
    async def outer() -> int:
        seen = 0
        async with start(fix, "a", "b", pool=pool) as running:
            async for event in running:
                seen += event.kind == "done"
        return seen + len((await running).value)

    async with Pool(served, store=Store()) as pool:
        first, again = [await run(outer, pool=pool) for _ in range(2)]
    assert first.value == again.value
    assert first.usage == again.usage
    assert first.usage.calls == 2
    assert len(served.requests) == 2


async def test_a_cancellation_of_both_is_no_error():
    """Woken by an event, and cancelled in the same moment: the block ends as cancelled."""
    for moment in range(1, 11):
        with CancelScope() as scope:

            def tell(event, scope=scope, moment=moment, seen=[]):  # noqa: B006 - counts
                seen.append(event)
                if len(seen) == moment:
                    scope.cancel()

            async with (
                Pool(engine()) as pool,
                start(fix, "a", "b", pool=pool, journal=Journal(tell)) as running,
            ):
                await running
        assert scope.cancelled_caught
        assert running.over


async def test_errors_of_use_are_told():
    async with Pool(engine()) as pool:
        coroutine: Any = fix("a")
        nowhere: Any = None
        with pytest.raises(UsageError, match=r"start\(program, argument, pool=...\)"):
            start(coroutine, pool=pool)
        with pytest.raises(UsageError, match="start needs an open Pool"):
            start(fix, "a", pool=nowhere)
        running = start(fix, "a", pool=pool)
        with pytest.raises(UsageError, match="async with start"):
            await running
        with pytest.raises(UsageError, match="async with start"):
            async for _ in running:
                pass
        async with running:
            await running
        with pytest.raises(UsageError, match="a run starts once"):
            async with running:
                pass
