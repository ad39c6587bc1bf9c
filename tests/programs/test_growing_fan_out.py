import random
from collections.abc import Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from weft import Pool, Prompt, ScriptedEngine, Store, budget, fan_out, generate, node, run
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, UsageError
from weft.orchestrator.programs.group import CallGroup
from weft.programs.scope import current


@node
async def expand(text: str) -> str:
    return (await generate(Prompt.user(text))).text


async def tree(depth: int) -> list[str]:
    """All paths of a binary tree, in the order in which they were found."""
    found: list[str] = []
    async with fan_out(expand, ["l", "r"]) as paths:
        async for path in paths:
            found.append(path)
            if len(path) < depth:
                paths.add(path + "l", path + "r")
        assert paths.width == 2 ** (depth + 1) - 2
    return found


def echo() -> ScriptedEngine:
    return ScriptedEngine(lambda request: request.messages[-1].content)


async def test_it_ends_when_nothing_runs_and_nothing_was_added():
    async with Pool(echo()) as pool:
        done = await run(tree, 3, pool=pool)
    assert len(done.value) == len(set(done.value)) == 14
    (fan,) = [span for span in done.spans.values() if span.kind == "fan_out"]
    assert (fan.width, fan.settled, fan.status) == (14, 14, "done")
    assert "x 14" in done.mermaid()


async def test_a_rerun_takes_the_same_course_and_pays_nothing():
    engine = echo()
    async with Pool(engine, store=Store()) as pool:
        first = await run(tree, 4, pool=pool)
        again = await run(tree, 4, pool=pool)
    assert again.value == first.value
    assert again.usage == first.usage
    assert len(engine.requests) == 30


async def test_the_scheduler_hears_of_the_width_as_it_grows():
    seen: list[tuple[int, int, int]] = []
    groups: set[CallGroup] = set()

    async def look(i: int) -> int:
        scope = current()
        assert scope.group is not None
        groups.add(scope.group)
        seen.append((scope.group.width, scope.group.quorum, scope.siblings))
        await checkpoint()
        return i

    async with Pool(echo()):
        async with fan_out(look, [1], limit=2) as found:
            async for i in found:
                if i < 3:
                    found.add(*[i + 1] * 3)
        assert len(groups) == 1
        assert seen[0] == (1, 1, 1)
        assert seen[-1] == (13, 13, 2)
        seen.clear()
        async with fan_out(look, [1], quorum=4) as found:
            read = []
            async for i in found:
                read.append(i)
                found.add(i, i)
            assert read == [1] * 4
            assert found.quorum == 4
        assert seen[0] == (1, 1, 1)
        assert (3, 3, 2) in seen


async def test_a_node_may_add_what_it_finds_and_a_loop_may_begin_again():
    async with Pool(echo()):

        async def crawl(i: int) -> int:
            if i < 4:
                found.add(i + 1)
            return i

        async with fan_out(crawl, [0]) as found:
            assert [i async for i in found] == [0, 1, 2, 3, 4]
            found.add(9, 8)
            assert sorted([i async for i in found]) == [8, 9]


async def test_what_was_added_is_cancelled_with_the_block():
    engine = ScriptedEngine({"a": "b", "b": Scripted(hangs=True)})
    async with Pool(engine) as pool:
        async with fan_out(expand, ["a"]) as found:
            async for text in found:
                found.add(text, text, text)
                break
            while engine.running < 3:
                await checkpoint()
        assert engine.running == 0
        assert engine.cancelled == 3
        assert pool.scheduler.in_flight == 0
        with pytest.raises(UsageError, match="belongs within its block"):
            found.add("a")


async def test_a_budget_ends_it_after_what_was_affordable():
    read: list[str] = []

    async def grow() -> None:
        with budget(calls=5):
            async with fan_out(expand, ["x"]) as found:
                async for text in found:
                    read.append(text)
                    found.add(text + "l", text + "r")

    async with Pool(echo()) as pool:
        with pytest.raises(BudgetExceeded):
            await run(grow, pool=pool)
    assert len(read) == 5


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@given(
    st.lists(st.integers(0, 3), max_size=30),
    st.integers(0, 2**20),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, 1, 5, 20]),
)
@settings(max_examples=25)
def test_each_is_yielded_once_whatever_is_added_and_nothing_is_left(
    loop: str, adds: list[int], seed: int, limit: int | None, leave: int | None
) -> None:
    chance, running = random.Random(seed), 0

    async def work(i: int) -> int:
        nonlocal running
        running += 1
        try:
            for _ in range(chance.randrange(4)):
                await checkpoint()
            if (more := next(grow, 0)) and chance.random() < 0.5:
                found.add(*[next(numbers) for _ in range(more)])
            return i
        finally:
            running -= 1

    async def whole() -> None:
        nonlocal found
        read: list[int] = []
        async with Pool(echo()):
            with anyio.fail_after(30):
                found = fan_out(work, [next(numbers)], limit=limit)
                async with found:
                    async for i in found:
                        read.append(i)
                        if len(read) == leave:
                            break
                        found.add(*[next(numbers) for _ in range(next(grow, 0))])
                    width = found.width
        assert running == 0
        assert len(set(read)) == len(read)
        if len(read) != leave:
            assert sorted(read) == list(range(width))

    def count() -> Iterator[int]:
        i = 0
        while True:
            yield i
            i += 1

    found: fan_out[int, int]
    grow, numbers = iter(adds), count()
    anyio.run(whole, backend=loop)
