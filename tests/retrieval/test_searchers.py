"""Searchers: retrievers in runs, kept, timed and tried again; one that fails loses no other."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from weft import Pool, Prompt, ScriptedEngine, Store, generate, once, program, run
from weft.backends.retry import Retry
from weft.errors import PartFailed, TimedOut, UsageError
from weft.programs.durable.manage import fork
from weft.retrieval import FullText, Passage, Searcher
from weft.store.kept_runs import KeptRuns

TEXTS = ["Bees make honey.", "Ants carry leaves."]


class Counted:
    """A retriever that can change, and fail."""

    def __init__(self, *fails: int) -> None:
        self.asked: list[str] = []
        self.world = "old"
        self.fails = fails

    async def search(self, query: str, k: int) -> list[Passage]:
        self.asked.append(query)
        await anyio.lowlevel.checkpoint()
        if len(self.asked) in self.fails:
            raise ConnectionError("the line broke")
        return [Passage(f"{self.world} {n}", f"{self.world} {query}") for n in range(k)]

    async def version(self) -> str:
        return self.world


async def test_a_search_is_a_node_and_what_it_found_leads_to_calls() -> None:
    @program
    async def ask(query: str) -> str:
        found = await Searcher(FullText(TEXTS), name="library").search(query, 1)
        return (await generate(Prompt.user(found[0].text))).text

    async with Pool(ScriptedEngine("honey it is")) as pool:
        done = await run(ask, "honey", pool=pool)
    (begun,) = [event for event in done.events if event.data.get("name") == "library"]
    assert (begun.kind, begun.data["query"], begun.data["k"]) == ("node", "honey", 1)
    (call,) = [event for event in done.events if event.kind == "call"]
    assert call.data["uses"] == [begun.id]


async def test_a_run_with_an_id_sees_what_it_saw() -> None:
    world, failing = Counted(), True

    @once
    async def effect() -> int:
        return 1

    @program
    async def two() -> list[str]:
        searcher = Searcher(world)
        first = await searcher.search("a", 1)
        await effect()
        if failing:
            raise RuntimeError("killed")
        second = await searcher.search("b", 1)
        again = await searcher.search("a", 1)
        return [one.text for one in (*first, *second, *again)]

    with Store() as store:
        async with Pool(ScriptedEngine("-"), store=store) as pool:
            with pytest.raises(RuntimeError):
                await run(two, pool=pool, id="r")
            world.world, failing = "new", False
            done = await run(two, pool=pool, id="r")
            assert done.value == ["old a", "new b", "new a"]
            assert world.asked == ["a", "b", "a"]
            world.world = "newer"
            assert (await run(two, pool=pool, id="r")).value == done.value
            assert (await run(two, pool=pool, id="s")).value == ["newer a", "newer b", "newer a"]
            kinds = [deed.kind for deed in KeptRuns(store.database).deeds("r")]
            assert kinds == ["seen", "once", "seen", "seen"]
            fork(store, "r", "f", at=3)  # what it saw before stays
            assert (await run(two, pool=pool, id="f")).value == ["old a", "newer b", "newer a"]


async def test_a_changed_program_may_look_up_something_else() -> None:
    world, queries = Counted(), ["a", "b"]

    @program
    async def looks() -> list[str]:
        return [one.text for q in queries for one in await Searcher(world).search(q, 1)]

    with Store() as store:
        async with Pool(ScriptedEngine("-"), store=store) as pool:
            await run(looks, pool=pool, id="r")
            queries = ["c", "b"]
            assert (await run(looks, pool=pool, id="r")).value == ["old c", "old b"]
    assert world.asked == ["a", "b", "c"]


async def test_results_are_kept_for_a_version() -> None:
    world = Counted()

    @program
    async def one(query: str) -> str:
        return (await Searcher(world).search(query, 1))[0].text

    with Store() as store:
        for _ in range(2):
            async with Pool(ScriptedEngine("-"), store=store) as pool:
                assert (await run(one, "a", pool=pool)).value == "old a"
        assert world.asked == ["a"]
        world.world = "new"
        async with Pool(ScriptedEngine("-"), store=store) as pool:
            assert (await run(one, "a", pool=pool)).value == "new a"
            assert (await Searcher(world, keep=False).search("a", 1))[0].text == "new a"
    assert world.asked == ["a"] * 3


async def test_without_a_version_a_program_sees_what_it_saw() -> None:
    class Site:
        def __init__(self, name: str) -> None:
            self.name = name

        async def search(self, query: str, k: int) -> list[Passage]:
            asked.append(self.name)
            return [Passage("1", f"{self.name} {len(asked)}")]

    asked: list[str] = []

    @program
    async def both() -> list[str]:
        found = [await Searcher(Site(name)).search("x", 1) for name in ("a", "b", "a")]
        return [one.text for (one,) in found]

    with Store() as store:
        for _ in range(2):
            async with Pool(ScriptedEngine("-"), store=store) as pool:
                assert (await run(both, pool=pool)).value == ["a 1", "b 2", "a 3"]
    assert asked == ["a", "b", "a"]


async def test_what_fails_is_tried_again_and_loses_no_other() -> None:
    async def broken(query: str, k: int) -> list[Passage]:
        if query == "b":
            raise ConnectionError("the line broke")
        return [Passage("old 0", f"old {query}")]

    async with Pool(ScriptedEngine("-")):
        found = await Searcher(broken, limit=1).search_all(["a", "b", "c"], 1)
    assert [one if isinstance(one, list) else type(one) for one in found] == [
        [Passage("old 0", "old a")],
        PartFailed,
        [Passage("old 0", "old c")],
    ]
    assert "the line broke" in str(found[1])
    again = Counted(1, 2)
    searcher = Searcher(again, retry=Retry(attempts=3, first=0.0))
    assert len(await searcher.search("a", 2)) == 2
    assert again.asked == ["a"] * 3
    with pytest.raises(PartFailed, match="ConnectionError"):
        await Searcher(Counted(1, 2), retry=Retry(attempts=2, first=0.0)).search("a")


@pytest.mark.loops("virtual")
async def test_a_search_that_takes_too_long_fails_and_cancellation_passes() -> None:
    ended: list[str] = []

    async def slow(query: str, k: int) -> list[Passage]:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(query)
        return []

    with pytest.raises(TimedOut, match="slow took longer than 3 s"):
        await Searcher(slow, timeout=3).search("a")
    assert anyio.current_time() == pytest.approx(3)
    async with Pool(ScriptedEngine("-")):
        with anyio.move_on_after(1) as scope:
            await Searcher(slow, timeout=None).search_all(["b", "c"])
    assert scope.cancelled_caught
    assert sorted(ended) == ["a", "b", "c"]


async def test_what_a_retriever_gives_is_read_or_named() -> None:
    async def texts(query: str, k: int):
        return ["one", "one", "two", "three"]

    assert [p.text for p in await Searcher(texts).search("x", 2)] == ["one", "two"]
    assert await Searcher(texts).search("  ") == []
    for wrong in (None, "text", [1], [Passage("a", 3)]):  # pyright: ignore

        async def bad(query: str, k: int, wrong: Any = wrong) -> Any:
            return wrong

        with pytest.raises(PartFailed, match="retriever bad failed"):
            await Searcher(bad).search("x")
    with pytest.raises(PartFailed, match="must be async"):
        await Searcher(lambda query, k: []).search("x")  # pyright: ignore
    for given in (3, FullText, None):
        with pytest.raises(UsageError, match="a retriever has"):
            Searcher(given)  # pyright: ignore
    for query, k in ((3, 1), ("x", 0), ("x", 1.5)):
        with pytest.raises(UsageError):
            await Searcher(texts).search(query, k)  # pyright: ignore
    setting: dict[str, Any]
    for setting in ({"timeout": 0}, {"limit": 0}, {"retry": {"nonsense": 1}}):
        with pytest.raises(UsageError):
            Searcher(texts, **setting)
