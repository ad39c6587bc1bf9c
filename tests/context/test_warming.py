"""Warming: the call that follows finds its prefix, and whatever goes wrong harms nothing."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from weft import Pool, Prompt, ScriptedEngine, Store, budget, generate, run, tool
from weft.backends.scripted.engine import Scripted
from weft.context import added, warm
from weft.errors import UnknownName, UsageError
from weft.types import Request

STABLE = Prompt.system("rules " * 20).user("The documents:\n")


def engine(**settings: object) -> ScriptedEngine:
    return ScriptedEngine("an answer", **settings)  # pyright: ignore[reportArgumentType]


async def until_running(one: ScriptedEngine) -> None:
    while not one.running:
        await checkpoint()


async def until_sent(one: ScriptedEngine, calls: int) -> None:
    while len(one.requests) < calls or one.running:
        await checkpoint()


async def test_the_call_that_follows_is_served_from_the_cache() -> None:
    async def program() -> int:
        async with warm(STABLE) as context:
            await until_sent(served, 1)  # the retrieval
            context.append("bees " * 10)
            await until_sent(served, 2)
            context.append("ants " * 10)
        assert context.prompt == Prompt.system("rules " * 20).user(
            "The documents:\n" + "bees " * 10 + "\n\n" + "ants " * 10
        )
        said = await generate(added(context.prompt, "What flies?"))
        assert said.text == "an answer"
        return said.usage.cached

    async with Pool(served := engine()) as pool:
        done = await run(program, pool=pool)
    first, second, last = served.requests
    assert (first.sampling.max_tokens, second.sampling.max_tokens) == (1, 1)
    assert first.sender.stage == "warming"
    read = tuple(second.tokens or ())[:-1]  # less the turn that would answer it
    assert tuple(last.tokens or ())[: len(read)] == read
    assert done.value >= len(read) // served.block_size * served.block_size
    # Honestly billed: what warming read is not read again, and its tokens count.
    assert done.usage.calls == 3
    assert done.usage.completion == 2 + len("an answer") + 1
    names = [event.data.get("name") for event in done.events if event.kind == "node"]
    assert names == ["warming", "warming"]


async def test_a_call_that_works_is_awaited_and_one_that_waits_is_dropped() -> None:
    async with Pool(served := engine(prompt_seconds=1e-4, concurrency=1)) as pool:
        async with warm(STABLE):
            await until_running(served)
        assert (served.running, served.cancelled) == (0, 0)
        async with anyio.create_task_group() as others:
            others.start_soon(generate, Prompt.user("x" * 400))
            await until_running(served)
            async with warm(STABLE.user("other")):
                await checkpoint()
                assert len(served.requests) == 2
        assert len(served.requests) == 2  # never sent
        assert pool.scheduler.in_flight == pool.scheduler.waiting == 0


async def test_leaving_by_an_error_or_cancellation_ends_it() -> None:
    hanging = ScriptedEngine(Scripted(hangs=True))
    async with Pool(hanging) as pool:

        async def broken() -> None:
            async with warm(STABLE):
                await until_running(hanging)
                raise ValueError("no index")

        with pytest.raises(ValueError, match="no index"):
            await broken()
        with anyio.CancelScope() as scope:
            async with warm(STABLE):
                await until_running(hanging)
                scope.cancel()
                await anyio.sleep_forever()
        assert (hanging.cancelled, hanging.running) == (2, 0)
        assert pool.scheduler.in_flight == pool.scheduler.waiting == 0


async def test_what_can_not_be_warmed_harms_nothing() -> None:
    def reply(request: Request) -> Scripted | str:
        return Scripted(refuses="no") if request.sampling.max_tokens == 1 else "an answer"

    async with Pool(served := ScriptedEngine(reply)):
        async with warm(STABLE) as context:
            await until_sent(served, 1)
            context.append("bees")
        assert (await generate(context.prompt)).text == "an answer"
        with budget(calls=1):
            await generate(Prompt.user("x"))
            sent = len(served.requests)
            async with warm(STABLE):
                for _ in range(30):
                    await checkpoint()
            assert len(served.requests) == sent


async def test_a_rerun_costs_nothing() -> None:
    async def program() -> str:
        async with warm(STABLE):
            await until_sent(served, 1)
        return (await generate(STABLE)).text

    async with Pool(served := engine(), store=Store()) as pool:
        first = await run(program, pool=pool)
        again = await run(program, pool=pool)
    assert (first.value, first.usage) == (again.value, again.usage)
    assert len(served.requests) == 2


async def test_tools_stand_before_what_is_warmed() -> None:
    @tool
    async def read(path: str) -> str:
        """Read a file."""
        return path

    async with Pool(served := engine()):
        async with warm(STABLE, tools=[read]):
            await until_sent(served, 1)
        said = await generate(STABLE, tools=[read])
    assert said.usage.cached >= said.usage.prompt - served.block_size


async def test_errors_of_use_are_told() -> None:
    with pytest.raises(UsageError, match="must be a Prompt"):
        warm("text")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownName, match="unknown setting"):
        warm(STABLE, topk=3)  # pyright: ignore[reportCallIssue]
    async with Pool(engine()):
        with pytest.raises(UnknownName, match="unknown role"):
            async with warm(STABLE, role="judge"):
                pass
        context = warm(STABLE)
        async with context:
            pass
        with pytest.raises(UsageError, match="warmed once"):
            async with context:
                pass
    with pytest.raises(UsageError, match="no engines to call here"):
        async with warm(STABLE):
            pass
